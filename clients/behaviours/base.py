"""The seam for malicious clients: what one trains on, and what it makes of its update before it is encoded.

Whatever it makes passes through the same codec, protection and signature as an honest update: a value outside the
codec's bound is refused, and the client is lost to the round, or clipped, as the codec says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from fedlearn.datasets.examples import Examples
from fedlearn.datasets.vocabulary import Vocabulary
from fedlearn.errors import BadInput
from fedlearn.strategies.base import LocalUpdate

Honest = Callable[[int, Examples], LocalUpdate]
"""The update that client number `client`, with these examples, would honestly send this round."""


@dataclass(frozen=True, eq=False)
class Crew:
    """The knowledge of malicious clients: public facts of the run, and their own side; never an honest client's data.

    cohort      clients sampled each round
    corrupted   of these malicious, on average, at least 1
    colluders   examples of the malicious clients that know each other, by client number: as many clients as a cohort
                holds on average, at least two if there are two
    classes     of the examples' targets, which are 0 .. classes - 1
    vocabulary  how words are numbered, where examples are messages
    """

    cohort: int
    corrupted: int
    colluders: Mapping[int, Examples]
    classes: int
    vocabulary: Vocabulary | None


class Behaviour:
    """The two places in which a malicious client acts. This class does nothing; a subclass defines one or both.

    For --malicious one is built by a class method `of(crew, ...)`, or without it as `cls(...)`. The other parameters
    are what a user may set, read by their annotations (`fedlearn.spec`). `of` raises `BadInput` where that crew
    cannot behave so.
    """

    def examples(self, data: Examples) -> Examples:
        """The examples that it trains on in the place of its own."""
        return data

    def update(self, update: LocalUpdate, honest: Honest) -> LocalUpdate:
        """The update that it sends; `honest` says what it and others would have sent."""
        return update


def with_delta(update: LocalUpdate, delta: np.ndarray) -> LocalUpdate:
    """The update with another delta (P,). What else the strategy sends stays honest: see `with_vectors`."""
    return with_vectors(update, delta=delta)


def with_vectors(update: LocalUpdate, **vectors: np.ndarray) -> LocalUpdate:
    """The update with other vectors, by name, in the place of those that the strategy sends.

    SCAFFOLD's delta_c, for example. Raises `BadInput` for a name that the update does not have.
    """
    unknown = sorted(set(vectors) - set(update.vectors))
    if unknown:
        raise BadInput(f"the update has no vector {unknown[0]!r}: it has {', '.join(update.vectors)}")
    changed = {name: np.asarray(vector, np.float32) for name, vector in vectors.items()}
    return replace(update, vectors=update.vectors | changed)


def check_positive(behaviour: str, setting: str, value: float, usual: str) -> None:
    """Raise `BadInput` for a setting that is not above 0 and finite. usual: what to take instead."""
    if not 0 < value < float("inf"):
        raise BadInput(f"{behaviour} has {setting}={value}, it must be above 0 and finite: {usual}")


def check_group(group: int) -> None:
    """Raise `BadInput` for a group of nobody."""
    if group < 1:
        raise BadInput(f"group is {group}, it must be 1 or more: as many as group_size says")
