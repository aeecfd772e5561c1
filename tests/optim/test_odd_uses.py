"""What optimizers and schedules are given that nobody expects: other memory, other states, rates that are none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedlearn import Tensor, nn, optim
from fedlearn.errors import BadInput, GraphError
from fedlearn.optim import lr_scheduler as schedules

KINDS = (optim.SGD, optim.Adam, optim.AdamW, optim.NAdam, optim.RAdam, optim.RMSprop, optim.Adagrad, optim.Yogi)
MEMORIES = {
    "in order": lambda x: x,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "every second": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "big-endian": lambda x: x.astype(">f4"),
}


def stepped(kind, memory, make, beside):
    held = memory(np.arange(6, dtype=np.float32).reshape(2, 3) / 7)
    leaf = make(held, requires_grad=True)
    leaf._data = memory(leaf.numpy().copy()) if held.dtype.isnative else leaf._data
    optimizer = kind([leaf, *beside], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        ((leaf * leaf * leaf).sum() + sum(((b * b).sum() for b in beside), Tensor(0.0))).backward()
        optimizer.step()
    return leaf.numpy().copy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [Tensor, nn.Parameter])
def test_a_leaf_is_trained_wherever_its_numbers_lie(kind, make):
    expected = stepped(kind, MEMORIES["in order"], make, [])
    assert np.abs(expected - np.arange(6).reshape(2, 3) / 7).max() > 0
    for memory in MEMORIES.values():
        for beside in ([], [nn.Parameter(np.ones(2))]):
            np.testing.assert_array_equal(stepped(kind, memory, make, beside), expected)


def test_a_view_of_a_tensor_is_trained_in_its_memory():
    table = Tensor(np.ones((3, 2)))
    turned = table.T.detach().requires_grad_()
    optimizer = optim.SGD([turned], lr=0.1)
    turned.sum().backward()
    optimizer.step()
    turned[...] = turned.numpy() * 2  # by hand in between
    optimizer.step()
    np.testing.assert_allclose(table.numpy(), 1.7)


@pytest.mark.parametrize("saved", KINDS)
@pytest.mark.parametrize("loading", KINDS)
def test_the_state_of_another_rule_is_refused(saved, loading):
    def made(kind):
        p = nn.Parameter([1.0, 2.0])
        p.grad = np.ones(2)
        optimizer = kind([p], lr=0.1)
        optimizer.step()
        return optimizer

    old, new = made(saved), made(loading)
    before = new.state_dict()
    same = set(old.slots(old.param_groups[0])) == set(new.slots(new.param_groups[0]))
    if same and set(old.counts) <= set(new.counts):
        new.load_state_dict(old.state_dict())
        return
    with pytest.raises(BadInput, match="not the state of"):
        new.load_state_dict(old.state_dict())
    assert str(new.state_dict()) == str(before)


def test_options_out_of_a_saved_state_are_checked():
    optimizer = optim.SGD([nn.Parameter([1.0, 2.0])], momentum=0.9)
    before = optimizer.state_dict()
    for name, value in {"nesterov": "no", "maximize": 2, "lr": -1}.items():
        saved = optimizer.state_dict()
        saved["param_groups"][0][name] = value
        with pytest.raises(BadInput, match=f"{name} is {value!r}"):
            optimizer.load_state_dict(saved)
        assert optimizer.state_dict() == before


def test_steps_out_of_a_saved_state_are_whole():
    p = nn.Parameter([1.0, 2.0])
    p.grad = np.ones(2)
    optimizer = optim.Adam([p])
    optimizer.step()
    state = optimizer.state_dict()
    for steps in (2.5, math.nan, math.inf):
        state["state"][0]["step"] = steps
        with pytest.raises(BadInput, match="step is"):
            optimizer.load_state_dict(state)
    state["state"][0]["step"] = np.float32(3)
    optimizer.load_state_dict(state)
    assert optimizer.state_dict()["state"][0]["step"] == 3


@pytest.mark.parametrize("rate", [math.nan, math.inf, -1.0, None, "0.1", 1j])
def test_a_rate_set_by_hand_is_checked_when_it_is_used(rate):
    p = nn.Parameter([1.0])
    p.grad = np.ones(1)
    optimizer = optim.SGD([p], lr=0.1)
    optimizer.param_groups[0]["lr"] = rate
    with pytest.raises(BadInput, match="lr is"):
        optimizer.step()
    optimizer.param_groups[0]["lr"] = np.float32(0.5)
    optimizer.step()
    assert p.item() == 0.5


@pytest.mark.parametrize("factor", [math.nan, math.inf, -1, None, "x", [1]])
def test_a_factor_that_is_none_is_refused(factor):
    optimizer = optim.SGD([nn.Parameter(1.0)], lr=0.1)
    with pytest.raises(BadInput, match="lr_lambda"):
        schedules.LambdaLR(optimizer, lambda step: factor)


def test_a_rate_beyond_all_floats_is_said_and_changes_nothing():
    optimizer = optim.SGD([nn.Parameter(1.0)], lr=0.1)
    schedule = schedules.ExponentialLR(optimizer, 1e200)
    schedule.step()
    for _ in range(2):
        with pytest.raises(BadInput, match="step 2 is larger"):
            schedule.step()
    assert schedule.last_epoch == 1
    assert optimizer.param_groups[0]["lr"] == 1e199


@pytest.mark.parametrize(
    "make",
    [
        lambda: schedules.LambdaLR(3, abs),
        lambda: schedules.OneCycleLR(None, 0.1, 10),
        lambda: schedules.ReduceLROnPlateau("x"),
        lambda: schedules.StepLR([], 1),
        lambda: schedules.StepLR(optim.SGD([nn.Parameter(1.0)]), True),
        lambda: schedules.SequentialLR(optim.SGD([nn.Parameter(1.0)]), [], None),
        lambda: schedules.SequentialLR(optim.SGD([nn.Parameter(1.0)]), None, [1]),
        lambda: schedules.CosineAnnealingLR(optim.SGD([nn.Parameter(1.0)]), 5, -1),
        lambda: schedules.CosineAnnealingWarmRestarts(optim.SGD([nn.Parameter(1.0)]), 5, 1, -0.1),
    ],
)
def test_schedules_of_no_optimizer_or_no_steps_are_refused(make):
    with pytest.raises(BadInput):
        make()


@pytest.mark.parametrize("metric", ["0.5", None, [1.0, 2.0], np.ones(2), Tensor([1.0, 2.0])])
def test_a_plateau_is_judged_by_one_number(metric):
    schedule = schedules.ReduceLROnPlateau(optim.SGD([nn.Parameter(1.0)], lr=0.1))
    with pytest.raises(BadInput, match="one number"):
        schedule.step(metric)
    assert schedule.last_epoch == 0
    schedule.step(Tensor(0.5))
    schedule.optimizer.add_param_group({"params": nn.Parameter(2.0)})
    with pytest.raises(BadInput, match="2 groups"):
        schedule.step(0.5)


@pytest.mark.parametrize(
    ("dtype", "number"), [(np.float16, 300), (np.float32, 1e25), (np.float32, 1e-30), (float, 1e200)]
)
@pytest.mark.parametrize("power", [1, 2, 3, math.inf])
def test_a_norm_neither_overflows_nor_vanishes(dtype, number, power):
    p = Tensor(np.ones(4, dtype), requires_grad=True)
    p.grad = np.full(4, number, dtype)
    expected = number * 4 ** (1 / power)
    assert nn.utils.clip_grad_norm_([p], number, power) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("clip", [nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_])
def test_a_clipped_gradient_is_announced_to_what_was_made_of_it(clip):
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    (x**3).sum().backward(create_graph=True)
    of_gradient = (x.grad**2).sum()
    clip([x], 0.1)
    with pytest.raises(GraphError, match="changed in place"):
        of_gradient.backward()


def test_a_vector_may_be_the_parameters_own_memory():
    model = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1))
    model.vector[:] = np.arange(7)
    nn.utils.vector_to_parameters(model.vector[::-1], model.parameters())
    np.testing.assert_array_equal(model.vector, np.arange(7)[::-1])
