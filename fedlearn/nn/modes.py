"""A model in use for a while: it computes without dropout and gathers no statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fedlearn.nn.module import Module


@contextmanager
def in_use(model: Module) -> Iterator[None]:
    """Within, all parts are in evaluation; afterwards each is in the mode that it was in."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
