"""States of optimizers, schedules and modules in which one entry is what nobody expects.

Each is loaded, and training goes on with finite numbers, or it is refused by a typed error and nothing has changed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fedlearn import nn, optim
from fedlearn.errors import BadInput
from tests.hostile.inputs import ODD_ARGUMENTS, in_one_line

pytestmark = pytest.mark.filterwarnings("error")

OPTIMIZERS = [name for name in optim.__all__ if name not in ("Optimizer", "lr_scheduler")]
SCHEDULES: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": 3},
    "MultiStepLR": {"milestones": [2]},
    "ExponentialLR": {"gamma": 0.9},
    "LambdaLR": {"lr_lambda": lambda step: 0.9**step},
    "PolynomialLR": {"total_iters": 4},
    "CosineAnnealingLR": {"T_max": 4},
    "CosineAnnealingWarmRestarts": {"T_0": 2},
    "OneCycleLR": {"max_lr": 0.5, "total_steps": 9},
}


def trained(name: str) -> tuple[nn.Linear, Any]:
    layer = nn.Linear(2, 1, rng=np.random.default_rng(0))
    optimizer = getattr(optim, name)(layer.parameters(), lr=0.1, **({"momentum": 0.9} if name == "SGD" else {}))
    step(layer, optimizer)
    return layer, optimizer


def step(layer: nn.Linear, optimizer: Any) -> None:
    optimizer.zero_grad()
    layer(np.ones((3, 2), np.float32)).sum().backward()
    optimizer.step()


def damaged(state: Any) -> Iterator[Any]:
    """The state with each part of it, however deep, replaced by each odd value, or left out."""
    yield from ODD_ARGUMENTS
    if isinstance(state, dict | list):
        keys = list(state) if isinstance(state, dict) else range(len(state))
        for key in keys:
            for inner in damaged(state[key]):
                changed = copy.copy(state)
                changed[key] = inner
                yield changed
        for key in keys:
            shorter = copy.copy(state)
            del shorter[key]
            yield shorter


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(np.array_equal(a, b))


def refusals(thing: Any, good: Any, after: Callable[[], Any] = lambda: None, **how: Any) -> int:
    """How often a damaged state was refused, each time with nothing changed. after: what goes on after each load."""
    refused = 0
    for odd in damaged(good):
        thing.load_state_dict(good)
        try:
            thing.load_state_dict(odd, **how)
        except BadInput as error:
            in_one_line(error)
            refused += 1
            assert same(thing.state_dict(), good), odd
        after()
    return refused


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_states_of_optimizers(name):
    layer, optimizer = trained(name)
    assert refusals(optimizer, optimizer.state_dict()) > 30
    step(layer, optimizer)
    assert np.isfinite(layer.weight.numpy()).all()


@pytest.mark.parametrize("name", SCHEDULES)
def test_states_of_schedules(name):
    _, optimizer = trained("SGD")
    schedule = getattr(optim.lr_scheduler, name)(optimizer, **SCHEDULES[name])
    schedule.step()
    assert refusals(schedule, schedule.state_dict())


def test_the_state_of_a_plateau():
    _, optimizer = trained("SGD")
    schedule = optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    schedule.step(1.0)
    good = copy.deepcopy(schedule.state_dict())
    assert refusals(schedule, good, lambda: schedule.step(1.0))


def test_states_of_modules():
    model = nn.Sequential(nn.Linear(2, 2, rng=np.random.default_rng(0)), nn.BatchNorm1d(2))
    for strict in (True, False):
        assert refusals(model, model.state_dict(), strict=strict)
