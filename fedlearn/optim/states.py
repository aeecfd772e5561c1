"""States that were saved and are loaded again: what does not look like one is refused, having changed nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any

from fedlearn.errors import BadInput, FedlearnError
from fedlearn.wording import many

MALFORMED = (TypeError, KeyError, IndexError, AttributeError, ValueError, OverflowError)


@contextmanager
def reading(owner: object) -> Iterator[None]:
    """Python's errors within become `BadInput`, which says whose state was expected."""
    kind = type(owner).__name__
    try:
        yield
    except FedlearnError:
        raise
    except MALFORMED as error:
        raise BadInput(
            f"not the state of a {kind} ({type(error).__name__}: {error}): give what its state_dict() returned"
        ) from None


def rates(values: Any, count: int) -> list[float]:
    """The learning rates as floats, one per group. Raises `TypeError` if there are not `count` numbers."""
    listed = list(values)
    if len(listed) != count or not all(isinstance(rate, Real) and not isinstance(rate, bool) for rate in listed):
        raise TypeError(f"{many(count, 'learning rate is', 'learning rates are')} needed, not {listed!r:.60}")
    return [float(rate) for rate in listed]
