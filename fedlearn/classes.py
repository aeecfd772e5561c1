"""Outputs of a model that name no class: nan, in which `argmax` and a sign would find one all the same."""

from __future__ import annotations

import numpy as np

from fedlearn.errors import BadInput


def names_a_class(outputs: np.ndarray, axis: int | None = None) -> np.ndarray:
    """True where a model's output names a class, bool: nan names none.

    axis: that of the classes, where each has a score; None for one output an example.
    """
    known = ~np.isnan(outputs)
    found: np.ndarray = known if axis is None else np.logical_and.reduce(known, axis=axis)
    return found


def refuse_nameless(outputs: np.ndarray, axis: int | None = None) -> None:
    """Raise `BadInput` where an output names no class; axis as in `names_a_class`."""
    if not names_a_class(outputs, axis).all():
        raise BadInput(
            "the model gives nan for some examples, which is no class: scale their numbers, "
            "or train the model with a lower lr"
        )
