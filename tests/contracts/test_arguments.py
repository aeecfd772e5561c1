"""Whatever is named in a registry refuses odd arguments by name when it is made, or makes plain values of them."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from aggregator.sampling import SAMPLERS
from clients.behaviours import BEHAVIOURS
from fedlearn.datasets import PARTITIONS
from fedlearn.errors import FedlearnError
from fedlearn.queries import QUERIES
from fedlearn.secure import PROTECTIONS
from fedlearn.strategies import STRATEGIES

NOTHING_OF_THE_KIND = ["x", b"x", [], {}, object(), 1j]
NO_NUMBERS = [math.nan, math.inf, -math.inf, np.float64("nan")]
REGISTRIES = (STRATEGIES, PROTECTIONS, PARTITIONS, SAMPLERS, BEHAVIOURS, QUERIES)


def parameters() -> list[tuple[str, type, inspect.Parameter]]:
    found = []
    for registry in REGISTRIES:
        for name in registry.entries:
            kind = registry.load(name)
            for parameter in inspect.signature(kind).parameters.values():
                if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                    found.append((f"{registry.kind} {name}: {parameter.name}", kind, parameter))
    return found


PARAMETERS = parameters()
NUMBERS = [p for p in PARAMETERS if str(p[2].annotation).removesuffix(" | None") in ("int", "float")]


def made(kind: type, parameter: inspect.Parameter, value: Any) -> Any:
    """With one argument, and whatever does for the others that it must have; None where it is refused."""
    others = [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty]
    needed = {
        p.name: {} if "Mapping" in str(p.annotation) else np.ones(2) if p.name == "trigger" else 2 for p in others
    }
    try:
        return kind(**needed | {parameter.name: value})
    except FedlearnError:
        return None


@pytest.mark.parametrize(("kind", "parameter"), [p[1:] for p in PARAMETERS], ids=[p[0] for p in PARAMETERS])
def test_what_is_nothing_of_the_kind_is_refused(kind, parameter):
    annotation = str(parameter.annotation)
    for value in NOTHING_OF_THE_KIND:
        if (isinstance(value, str) and "str" in annotation) or (isinstance(value, dict) and "Mapping" in annotation):
            continue
        assert made(kind, parameter, value) is None, value
    if any(word in annotation for word in ("int", "float")):
        for value in NO_NUMBERS:
            assert made(kind, parameter, value) is None, value


@pytest.mark.parametrize(("kind", "parameter"), [p[1:] for p in NUMBERS], ids=[p[0] for p in NUMBERS])
def test_numpys_numbers_become_plain_ones(kind, parameter):
    for value in (np.int64(5), np.float64(0.25)):
        thing = made(kind, parameter, value)
        if thing is not None:
            assert type(getattr(thing, parameter.name)) in (int, float)
