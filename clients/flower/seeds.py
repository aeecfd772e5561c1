"""The global random generators that Flower and its apps draw from, seeded: `random`, NumPy's, and PyTorch's if loaded.

Flower draws its cohorts from `random`; apps shuffle and initialise by whichever they like. A node's numbers follow from
(seed, which message of the node it is, node), so neither the order of nodes nor the number of workers changes them.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from fedlearn.seeding import stream


def seed_all(seed: int, round: int = 0, node: int = 0) -> None:
    """Seed them for a node's message number `round`, from 1; 0 is the server's."""
    first, second, third = stream(seed, "flower", round, node).integers(1 << 32, size=3).tolist()
    random.seed(first)
    np.random.seed(second)  # noqa: NPY002 - it is what apps draw from
    if torch := _torch():
        torch.manual_seed(third)


@contextmanager
def kept() -> Iterator[None]:
    """Afterwards the generators are as they were."""
    back = [partial(random.setstate, random.getstate()), partial(np.random.set_state, np.random.get_state())]  # noqa: NPY002
    if torch := _torch():
        back.append(partial(torch.set_rng_state, torch.get_rng_state()))
    try:
        yield
    finally:
        for each in back:
            each()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of linear algebra meanwhile: two add in another order, and give other bits."""
    with ExitStack() as afterwards:
        if torch := _torch():
            afterwards.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
        afterwards.enter_context(threadpool_limits(1))
        yield


def _torch() -> Any:
    return sys.modules.get("torch")
