"""Optimizers: known answers, memory that lies together or not, state in and out, schedules, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn import Tensor, nn, optim
from fedlearn.errors import BadInput, ShapeError
from fedlearn.optim import lr_scheduler

KINDS = {
    "sgd": lambda params: optim.SGD(params, lr=0.1),
    "momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.3),
    "nesterov": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "adam": lambda params: optim.Adam(params, lr=0.1, weight_decay=0.01),
    "amsgrad": lambda params: optim.Adam(params, lr=0.1, amsgrad=True),
    "adamw": lambda params: optim.AdamW(params, lr=0.1),
    "rmsprop": lambda params: optim.RMSprop(params, lr=0.1, momentum=0.5, centered=True, weight_decay=0.01),
    "adagrad": lambda params: optim.Adagrad(params, lr=0.5, lr_decay=0.001),
    "nadam": lambda params: optim.NAdam(params, lr=0.1, weight_decay=0.01),
    "radam": lambda params: optim.RAdam(params, lr=0.1),
    "yogi": lambda params: optim.Yogi(params, lr=0.1),
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def net(seed: int = 0) -> nn.Sequential:
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.EmbeddingBag(7, 3, rng=rng), nn.Linear(3, 4, rng=rng), nn.Tanh(), nn.Linear(4, 1, rng=rng))


def train(model: nn.Module, optimizer: optim.Optimizer, steps: int, begin: int = 0) -> None:
    for i in range(begin, begin + steps):
        optimizer.zero_grad()
        bags = np.random.default_rng(i).integers(0, 7, (5, 2))
        ((model(bags) - 1.0) ** 2).mean().backward()
        optimizer.step()


@kinds
def test_memory_that_lies_together_is_stepped_as_memory_that_does_not(kind):
    together, apart = net(), net()
    train(together, kind(together.parameters()), 6)
    optimizer = kind(apart.parameters())
    for p in apart.parameters():
        p._data = p.numpy().copy()
    train(apart, optimizer, 6)
    np.testing.assert_array_equal(together.vector, apart.vector)


@kinds
def test_memory_moved_in_between_changes_nothing(kind):
    still, moved = net(), net()
    train(still, kind(still.parameters()), 6)
    optimizer = kind(moved.parameters())
    train(moved, optimizer, 3)
    moved.double().float()
    assert moved.vector.size
    train(moved, optimizer, 3, begin=3)
    np.testing.assert_array_equal(still.vector, moved.vector)


@kinds
def test_a_state_dict_carries_on_where_it_was_taken(kind):
    whole, first = net(), net()
    train(whole, kind(whole.parameters()), 6)
    optimizer = kind(first.parameters())
    train(first, optimizer, 3)
    state, weights = optimizer.state_dict(), first.state_dict()
    train(first, optimizer, 2)  # must not reach into the state that was taken
    second = net(9)
    second.load_state_dict(weights)
    resumed = kind(second.parameters())
    resumed.load_state_dict(state)
    train(second, resumed, 3, begin=3)
    np.testing.assert_array_equal(whole.vector, second.vector)


@kinds
def test_it_finds_the_minimum_of_a_bowl(kind):
    w = nn.Parameter(np.array([3.0, -2.0], np.float32))
    optimizer = kind([w])
    for _ in range(300):
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()
    assert np.abs(w.numpy()).max() < 0.15


@kinds
def test_a_parameter_without_gradient_stays_and_keeps_its_own_history(kind):
    model = net()
    before = model[1].weight.numpy().copy()
    optimizer = kind(model.parameters())
    model[1].requires_grad_(False)
    train(model, optimizer, 2)
    np.testing.assert_array_equal(model[1].weight.numpy(), before)
    model[1].requires_grad_(True)
    train(model, optimizer, 1, begin=2)
    assert (model[1].weight.numpy() != before).all()
    steps = [memory["step"] for memory in optimizer.state.values()]
    assert sorted(set(steps)) == [1, 3]


def test_a_velocity_is_stored():
    w = nn.Parameter(np.zeros(1, np.float32))
    optimizer = optim.SGD([w], lr=1.0, momentum=0.5)
    path = []
    for _ in range(3):
        w.grad = np.ones(1, np.float32)
        optimizer.step()
        path.append(w.item())
    assert path == [-1.0, -2.5, -4.25]


def test_yogi_takes_the_steps_of_its_paper():
    w = nn.Parameter(np.array([1.0]))
    optimizer = optim.Yogi([w], lr=0.1, betas=(0.9, 0.99), eps=1e-3)
    weight, m, v = 1.0, 0.0, 1e-6
    for g in (0.5, -2.0, 0.1, 0.0):
        w.grad = np.array([g])
        optimizer.step()
        m = 0.9 * m + 0.1 * g
        v -= 0.01 * math.copysign(1.0, v - g * g) * g * g
        weight -= 0.1 * m / (math.sqrt(v) + 1e-3)
        assert w.item() == pytest.approx(weight, rel=1e-12)


@given(st.lists(st.integers(0, 19), min_size=1, max_size=30), st.floats(0.0, 0.9), st.sampled_from([0.0, 0.1]))
def test_row_sparse_gradients_step_as_dense_ones(rows, momentum, decay):
    def trained(dense: bool) -> np.ndarray:
        bag = nn.EmbeddingBag(20, 2, mode="sum", rng=np.random.default_rng(0))
        optimizer = optim.SGD(bag.parameters(), lr=0.1, momentum=momentum, weight_decay=decay)
        for _ in range(3):
            optimizer.zero_grad()
            (bag(np.array([rows])) ** 2).sum().backward()
            if dense:
                assert bag.weight.grad is not None  # looking at it makes it dense
            optimizer.step()
        return bag.vector

    np.testing.assert_allclose(trained(False), trained(True), rtol=1e-6, atol=1e-7)


def test_groups_have_options_of_their_own():
    a, b = nn.Parameter(np.zeros(1)), nn.Parameter(np.zeros(1))
    optimizer = optim.SGD([{"params": [a], "lr": 1.0}, {"params": [b]}], lr=0.1)
    a.grad = b.grad = np.ones(1)
    optimizer.step()
    assert (a.item(), b.item()) == (-1.0, -0.1)


def sequence(p, milestones, other=None):
    optimizer = optim.SGD([p])
    parts = [lr_scheduler.StepLR(other or optimizer, 1) for _ in range(2)]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD([]),
        lambda p: optim.SGD([p, p]),
        lambda p: optim.SGD([p], lr=-1),
        lambda p: optim.SGD([p], lr=math.nan),
        lambda p: optim.SGD([p], nesterov=True),
        lambda p: optim.SGD([{"params": [p], "speed": 1}]),
        lambda p: optim.Adam([p], betas=(1.0, 0.9)),
        lambda p: optim.Adagrad([p], eps=-1),
        lambda p: lr_scheduler.StepLR(optim.SGD([p]), 0),
        lambda p: lr_scheduler.CosineAnnealingLR(optim.SGD([p]), 0),
        lambda p: lr_scheduler.LinearLR(optim.SGD([p]), total_iters=0),
        lambda p: nn.utils.clip_grad_norm_([p], -1),
        lambda p: optim.SGD([p.numpy()]),
        lambda p: optim.SGD(nn.Linear(2, 1)),
        lambda p: optim.SGD([{"params": [p], "lr": -1.0}]),
        lambda p: optim.SGD([{"params": [p], "momentum": -1.0}]),
        lambda p: optim.SGD([p], lr=None),
        lambda p: optim.SGD([p], lr="0.1"),
        lambda p: optim.SGD([p], lr=math.inf),
        lambda p: optim.SGD([p], weight_decay=math.nan),
        lambda p: optim.Adam([p], betas=(0.9,)),
        lambda p: optim.Adam([p], betas=0.9),
        lambda p: optim.Adam([p], betas=(beta for beta in (0.9, 0.99))),
        lambda p: optim.Adam([p], betas=np.ones((2, 1)) / 2),
        lambda p: optim.Adam([p], betas=(math.nan, 0.9)),
        lambda p: optim.Adam([p], eps=-1),
        lambda p: optim.NAdam([p], momentum_decay=-1),
        lambda p: optim.RMSprop([p], alpha=2),
        lambda p: optim.RMSprop([p], momentum=-1),
        lambda p: optim.Yogi([p], initial_accumulator_value=-1),
        lambda p: optim.SGD({p}) and optim.SGD([{"params": {p}}]),
        lambda p: optim.SGD([{"lr": 0.1}]),
        lambda p: optim.SGD([Tensor(np.zeros(2))]),
        lambda p: optim.SGD([p * 2]),
        lambda p: optim.SGD(3),
        lambda p: optim.SGD([p]).add_param_group({"params": [p]}),
        lambda p: optim.SGD([p]).add_param_group({"params": nn.Parameter(np.zeros(1)), "lr": -1}),
        lambda p: lr_scheduler.StepLR(optim.SGD([p]), 2.5),
        lambda p: lr_scheduler.StepLR(optim.SGD([p]), 2, math.nan),
        lambda p: lr_scheduler.StepLR(p, 2),
        lambda p: lr_scheduler.StepLR(optim.SGD([p]), 2, last_epoch=3),
        lambda p: lr_scheduler.LambdaLR(optim.SGD([p]), [abs, abs]),
        lambda p: lr_scheduler.LambdaLR(optim.SGD([p]), 0.1),
        lambda p: lr_scheduler.MultiStepLR(optim.SGD([p]), [1.5]),
        lambda p: lr_scheduler.LinearLR(optim.SGD([p]), start_factor=0.0),
        lambda p: lr_scheduler.ReduceLROnPlateau(optim.SGD([p]), factor=1.0),
        lambda p: lr_scheduler.ReduceLROnPlateau(optim.SGD([p]), "best"),
        lambda p: lr_scheduler.OneCycleLR(optim.SGD([p]), 1.0),
        lambda p: lr_scheduler.OneCycleLR(optim.Adagrad([p]), 1.0, 10),
        lambda p: sequence(p, [-1]),
        lambda p: sequence(p, [2, 1]),
        lambda p: sequence(nn.Parameter(np.zeros(1)), [1], optim.SGD([p])),
        lambda p: nn.utils.clip_grad_norm_([p], math.nan),
        lambda p: nn.utils.clip_grad_norm_([p], 1.0, 0.5),
        lambda p: nn.utils.clip_grad_value_([p], -1.0),
        lambda p: nn.utils.clip_grad_value_([3], 1.0),
        lambda p: nn.utils.parameters_to_vector([]),
    ],
)
def test_bad_options_are_refused(make):
    with pytest.raises(BadInput):
        make(nn.Parameter(np.zeros(2)))


def test_gradients_are_forgotten_or_set_to_zero_whatever_the_weights():
    w = nn.Parameter(np.array([np.inf, 1.0], np.float32))
    optimizer = optim.SGD([w])
    optimizer.zero_grad(set_to_none=False)
    assert w.grad is None
    w.grad = np.ones(2, np.float32)
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.numpy().tolist() == [0, 0]
    optimizer.zero_grad()
    assert w.grad is None


def test_the_state_of_another_model_is_refused():
    small, large = nn.Linear(2, 1), nn.Linear(3, 1)
    optimizer = optim.SGD(large.parameters(), momentum=0.9)
    large(np.ones((1, 3), np.float32)).sum().backward()
    optimizer.step()
    with pytest.raises(ShapeError, match="another model"):
        optim.SGD(small.parameters(), momentum=0.9).load_state_dict(optimizer.state_dict())
    with pytest.raises(ShapeError, match="groups"):
        optim.SGD([small.weight]).load_state_dict(optimizer.state_dict())


def test_clipping_scales_all_gradients_together():
    bag, w = nn.EmbeddingBag(9, 1, mode="sum"), nn.Parameter(np.zeros(1, np.float32))
    (bag(np.array([[1, 1, 1]])).sum() + 4 * w.sum()).backward()
    assert nn.utils.clip_grad_norm_([bag.weight, w], 10.0) == pytest.approx(5.0)
    assert w.grad.item() == 4
    assert nn.utils.clip_grad_norm_([bag.weight, w], 1.0) == pytest.approx(5.0)
    assert bag.weight._grad.values.ravel().tolist() == pytest.approx([0.6])
    assert w.grad.item() == pytest.approx(0.8)
    w.grad = np.array([np.nan], np.float32)
    with pytest.raises(BadInput, match="nan"):
        nn.utils.clip_grad_norm_(w, 1.0)


def test_a_step_without_gradients_does_nothing():
    w = nn.Parameter(np.ones(2))
    optim.Adam([w]).step()
    assert w.numpy().tolist() == [1, 1]


def test_any_leaf_that_wants_a_gradient_is_stepped_where_it_is():
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    memory = x.data
    optimizer = optim.SGD([x], lr=0.5)
    (x * x).sum().backward()
    optimizer.step()
    assert x.numpy().tolist() == [0, 0]
    assert np.shares_memory(memory, x.numpy())


def test_parameters_by_name_one_alone_and_groups_added_later():
    model, late = net(), nn.Parameter(np.ones(2))
    frozen = model[1].bias.requires_grad_(False)
    optimizer = optim.SGD(model.named_parameters(), lr=0.1)
    assert len(optimizer.param_groups[0]["params"]) == 5
    optimizer.add_param_group({"params": late, "lr": np.float32(0.5)})
    late.grad = np.ones(2)
    before = frozen.numpy().copy()
    train(model, optimizer, 1)
    late.grad = np.ones(2)
    optimizer.step()
    assert late.numpy().tolist() == [0.5, 0.5]
    assert type(optimizer.param_groups[1]["lr"]) is float
    np.testing.assert_array_equal(frozen.numpy(), before)
    assert optim.SGD([{"params": nn.Parameter(np.ones(1))}]).param_groups[0]["lr"] == 0.001
    assert optim.SGD(nn.Parameter(np.ones(1))).param_groups


def test_a_step_may_compute_its_loss():
    w = nn.Parameter(np.array([3.0]))
    optimizer = optim.SGD([w], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9
    assert w.item() == 0
    assert optimizer.step() is None
