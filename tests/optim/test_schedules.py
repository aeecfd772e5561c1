"""Learning-rate schedules: alone, together, resumed, and at their end."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import nn, optim
from fedlearn.errors import BadInput, ShapeError
from fedlearn.optim import lr_scheduler


def test_schedules():
    def rates(make, count):
        optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
        schedule = make(optimizer)
        out = []
        for _ in range(count):
            out.append(schedule.get_last_lr()[0])
            schedule.step()
        return out

    assert rates(lambda o: lr_scheduler.StepLR(o, 2, 0.5), 5) == [1, 1, 0.5, 0.5, 0.25]
    assert rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 2), 3) == pytest.approx([1, 0.5, 0])
    assert rates(lambda o: lr_scheduler.LinearLR(o, 0.5, 1.0, 2), 4) == [0.5, 0.75, 1, 1]
    assert rates(lambda o: lr_scheduler.LambdaLR(o, lambda e: 1 / (e + 1)), 2) == [1, 0.5]

    def warm_then_cool(optimizer):
        parts = [lr_scheduler.LinearLR(optimizer, 0.5, 1.0, 2), lr_scheduler.CosineAnnealingLR(optimizer, 2)]
        return lr_scheduler.SequentialLR(optimizer, parts, [2])

    assert rates(warm_then_cool, 5) == pytest.approx([0.5, 0.75, 1.0, 0.5, 0.0])


def test_a_schedule_resumes():
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    schedule = lr_scheduler.StepLR(optimizer, 1, 0.5)
    schedule.step()
    other = lr_scheduler.StepLR(optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0), 1, 0.5)
    other.load_state_dict(schedule.state_dict())
    assert other.get_last_lr() == [0.5]
    with pytest.raises(ShapeError, match="for 2 groups, not for 1"):
        other.load_state_dict({"base_lrs": [1.0, 1.0], "last_epoch": 1})


def test_a_schedule_takes_the_state_of_its_own_kind_only():
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    cosine, steps = lr_scheduler.CosineAnnealingLR(optimizer, 9), lr_scheduler.StepLR(optimizer, 1, 0.5)
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer)
    steps.step()
    before = cosine.state_dict()
    with pytest.raises(BadInput, match="the state of a StepLR is loaded into a CosineAnnealingLR"):
        cosine.load_state_dict(steps.state_dict())
    assert cosine.state_dict() == before
    for state in (plateau.state_dict(), {}):
        with pytest.raises(BadInput, match="not the state of a CosineAnnealingLR"):
            cosine.load_state_dict(state)
    for state in (steps.state_dict(), {}, {"best": 1.0}):
        with pytest.raises(BadInput, match="not the state of a ReduceLROnPlateau"):
            plateau.load_state_dict(state)
    old = {name: value for name, value in steps.state_dict().items() if name != "kind"}  # as PyTorch's says it
    steps.load_state_dict(old)


def test_schedules_multiply_in_any_order_and_state_of_the_schedule_alone_goes_on():
    for order in (1, -1):
        optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
        makers = [lambda o: lr_scheduler.StepLR(o, 1, 0.5), lambda o: lr_scheduler.LambdaLR(o, lambda e: 0.1**e)]
        schedules = [make(optimizer) for make in makers[::order]]
        for _ in range(3):
            for schedule in schedules:
                schedule.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05**3)
    alone = lr_scheduler.StepLR(optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0), 1, 0.5)
    alone.step()
    fresh = lr_scheduler.StepLR(optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0), 1, 0.5)
    fresh.load_state_dict(alone.state_dict())
    fresh.step()
    assert fresh.get_last_lr() == [0.25]


def test_a_cycle_ends():
    schedule = lr_scheduler.OneCycleLR(optim.Adam([nn.Parameter(np.zeros(1))]), 1.0, 10)
    assert schedule.optimizer.param_groups[0]["betas"] == (0.95, 0.999)
    for _ in range(10):
        schedule.step()
    with pytest.raises(BadInput, match="10 steps"):
        schedule.step()


def test_a_group_that_a_schedule_does_not_know_is_named():
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))])
    schedule = lr_scheduler.StepLR(optimizer, 1)
    optimizer.add_param_group({"params": nn.Parameter(np.zeros(1))})
    with pytest.raises(BadInput, match="2 groups"):
        schedule.step()
