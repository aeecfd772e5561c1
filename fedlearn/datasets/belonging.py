"""The class and the user of each example, checked in one place for all kinds of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlearn.checked import as_array, in_order
from fedlearn.errors import ShapeError
from fedlearn.wording import many


def classes_of(owner: str, labels: Any, example: str, count: int, classes: Sequence[object]) -> np.ndarray:
    """The class of each example as a number, (count,). A type of integers stays; truth values become int8.

    owner: the data, in messages. example: the word for one. Raises `ShapeError` for other labels.
    """
    array = as_array("labels", labels)
    if array.ndim != 1 or array.dtype.kind not in "biu":
        raise ShapeError(
            f"{owner}: labels of shape {array.shape} and type {array.dtype}: give a whole number for each of its "
            f"{example}s"
        )
    _check_count(owner, example, count, "label", len(array))
    if len(array) and not 0 <= array.min() <= array.max() < len(classes):
        shown = ", ".join(map(str, classes[:6])) + ("..." if len(classes) > 6 else "")
        raise ShapeError(
            f"{owner}: labels from {array.min()} to {array.max()} for the classes {shown}: give each class a name, and "
            f"each {example} its number, from 0"
        )
    return array.astype(np.int8) if array.dtype == bool else array


def users_of(owner: str, users: Any, example: str, count: int) -> tuple[str, ...] | None:
    """The user of each example; None where nobody knows them."""
    if users is None:
        return None
    found = tuple(in_order(users, "users"))
    _check_count(owner, example, count, "user", len(found))
    return found


def _check_count(owner: str, example: str, count: int, what: str, found: int) -> None:
    if found != count:
        raise ShapeError(f"{owner}: {many(count, example)} but {many(found, what)}: give one for each")
