"""Every query of the registry: arguments, clients' examples and opened sums that nobody expects.

A query counts what NumPy counts or refuses by a typed error; its answer can be said in JSON. None warns.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedlearn.datasets.bags import Bags
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import BadInput
from fedlearn.queries import QUERIES, Confusion, Query
from tests.hostile.inputs import FLOATING, LAYOUTS, NO_NUMBERS, NUMBERS, attempt
from tests.hostile.table import Table
from tests.toys import WORDS, toy_bags, toy_model

pytestmark = pytest.mark.filterwarnings("error")

BAGS = toy_bags(7, 1)
ROWS = np.array([[3.0, 7.0], [1.0, 9.5], [0.0, 2.0], [9.0, 0.5], [2.5, 3.0]])
LABELS = np.array([0, 1, 1, 0, 1])
EACH = {"low": 0.0, "high": 10.0, "column": 1, "most": 50, "classes": 2, "vocabulary": WORDS, "bins": 4}
OBJECTS: dict[type[Query], Callable[[], Query]] = {}
for _name in QUERIES.entries:
    _kind = QUERIES.load(_name)
    OBJECTS[_kind] = lambda kind=_kind: made(kind)


def made(kind: type[Query]) -> Query:
    if issubclass(kind, Confusion):
        return kind.of(toy_model(), classes=2, most=50)
    return kind(**{name: value for name, value in EACH.items() if name in kind.__dataclass_fields__})


CONSTRUCTORS = Table(
    objects=OBJECTS,
    ordinary={**EACH, "step": 0.5, "at": (0.5,), "top": 3, "names": ("a",), "loss_step": 0.1, "model": toy_model()},
    left_out={
        f"{kind.__name__}.{method}": "what the run gives it is tried below"
        for kind in OBJECTS
        for method in ("values", "count", "refine", "answer", "note", "messages", "words")
        if hasattr(kind, method)
    },
)
each = pytest.mark.parametrize("kind", OBJECTS, ids=lambda kind: kind.__name__)


@pytest.mark.parametrize("name", CONSTRUCTORS.calls)
def test_odd_arguments_make_a_query_or_are_refused(name):
    if name not in ("Confusion", "Evaluation"):  # which `of` makes
        CONSTRUCTORS.check_ordinary(name)
    CONSTRUCTORS.check_odd(name)


def numpys(query: Query, rows: np.ndarray, labels: np.ndarray) -> dict[str, list[int]] | None:
    """What NumPy counts of a client's rows; None where this table does not say it."""
    if query.name == "classes":
        return {"examples": [int(np.sum(labels == c)) for c in range(2)]}
    if query.name not in ("histogram", "mean"):
        return None
    values = rows.reshape(len(rows), math.prod(rows.shape[1:]))[:, 1].astype(np.float64)
    if query.name == "histogram":
        inside = np.histogram(values[values < 10], 4, (0, 10))[0].tolist()
        return {"examples": [int(np.sum(values < 0)), *inside, int(np.sum(values >= 10))]}
    steps = [round(value) for value in values.tolist()]
    return {"examples": [len(steps)], "values": [sum(steps)], "squares": [sum(step**2 for step in steps)]}


def hostile() -> Iterator[tuple[str, Any, Any]]:
    """Clients' rows and labels, by kind."""
    for kind, change in (LAYOUTS | NUMBERS | NO_NUMBERS).items():
        yield kind, change(ROWS), LABELS
        if kind not in FLOATING:
            yield kind, ROWS, change(LABELS)
        yield kind, change(ROWS), change(LABELS.astype(float))


@each
def test_odd_examples_are_counted_as_numpy_counts_or_refused(kind):
    query, tried = made(kind), 0
    for odd, rows, labels in hostile():
        data = attempt(Arrays, rows, labels)
        if isinstance(data, BadInput):
            continue
        counted = attempt(query.count, data, query.first())
        if isinstance(counted, BadInput):
            continue
        tried += 1
        right = numpys(query, np.asarray(data.inputs[0]), np.asarray(data.targets))
        if right is not None:
            assert {name: np.asarray(found).tolist() for name, found in counted.items()} == right, odd
        for name, counts in query.entries().items():
            assert counted[name].dtype.kind == "i"
            assert counted[name].shape == (counts.length,)
            assert counted[name].min() >= 0
    assert tried or kind.reads[0].__name__ == "Words"


@each
def test_odd_messages_are_counted_or_refused(kind):
    query = made(kind)
    for change in (LAYOUTS | NUMBERS | NO_NUMBERS).values():
        for part in ("indices", "offsets", "labels"):
            data = attempt(lambda part=part, change=change: replace(BAGS, **{part: change(getattr(BAGS, part))}))
            if isinstance(data, Bags):
                attempt(query.count, data, query.first())


@each
def test_any_sum_that_clients_can_send_has_an_answer(kind):
    query, rng = made(kind), np.random.default_rng(0)
    sums: dict[str, Callable[[Any], np.ndarray]] = {
        "nothing": lambda counts: np.zeros(counts.length, np.int64),
        "the most": lambda counts: np.full(counts.length, 9 * counts.most, np.int64),
        "some": lambda counts: rng.integers(0, 9 * counts.most + 1, counts.length),
        "with noise": lambda counts: rng.normal(0, counts.most, counts.length),
    }
    for odd, sum_of in sums.items():
        asked = query.first()
        for _ in range(query.rounds):
            totals = {name: sum_of(counts) for name, counts in query.entries().items()}
            refined = query.refine(asked, totals)
            assert np.isfinite(refined).all(), odd
            asked = refined
        json.dumps(query.answer(asked, totals), allow_nan=False)
