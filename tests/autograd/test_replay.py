"""A planned backward pass gives the bits of the walk that it stands for, and is given up where the graph is another."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn import Tensor, nn
from fedlearn.autograd import graph, no_replay
from fedlearn.autograd.graph import OPS
from fedlearn.autograd.replay import EAGER, PLANS, Plan, Plans
from fedlearn.errors import GraphError
from fedlearn.nn import functional as F

BINARY: list[Callable[[Tensor, Tensor], Tensor]] = [
    lambda a, b: a + b,
    lambda a, b: a * b,
    lambda a, b: a - b * 0.5,
    lambda a, b: (a * b).tanh(),
    lambda a, b: a.detach() * b,
    lambda a, b: a + b.sum(),
    lambda a, b: a[:1] * b,
]


@pytest.fixture(autouse=True)
def _no_plans_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for op in OPS.values():
        monkeypatch.setattr(op, "plans", Plans())


def leaves(seed: int, wanted: list[bool]) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    return [Tensor(rng.normal(size=(2, 3)).astype(np.float32), requires_grad=flag) for flag in wanted]


def computed(inputs: list[Tensor], recipe: list[tuple[int, int, int]]) -> Tensor:
    known = list(inputs)
    for op, i, j in recipe:
        known.append(BINARY[op](known[i % len(known)], known[j % len(known)]))
    return sum((x * x for x in known[-2:]), Tensor(0.0)).sum()


def gradients(inputs: list[Tensor], recipe: list[tuple[int, int, int]]) -> list[bytes | None]:
    for x in inputs:
        x.grad = None
    loss = computed(inputs, recipe)
    if loss.requires_grad:
        loss.backward()
    return [None if x.grad is None else x.grad.numpy().tobytes() for x in inputs]


recipes = st.lists(st.tuples(st.integers(0, len(BINARY) - 1), st.integers(0, 20), st.integers(0, 20)), max_size=8)


@given(runs=st.lists(st.tuples(recipes, st.lists(st.booleans(), min_size=3, max_size=3)), min_size=1, max_size=4))
def test_the_bits_are_those_of_the_walk_whatever_graph_comes_next(runs: list) -> None:
    for number, (recipe, wanted) in enumerate([*runs, *runs, *runs]):
        inputs = leaves(number, wanted)
        with no_replay():
            expected = gradients(inputs, recipe)
        assert gradients(inputs, recipe) == expected


def planned(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """How many passes a plan has made so far."""
    count = [0]
    run = Plan.run

    def counted(plan: Plan, *arguments: object) -> object:
        count[0] += 1
        return run(plan, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Plan, "run", counted)
    while True:
        yield count[0]


def test_the_second_step_on_a_model_is_planned_and_the_last_smaller_batch_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned(monkeypatch)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    for step, size in enumerate((5, 5, 2, 5)):
        F.cross_entropy(model(np.ones((size, 3), np.float32)), np.zeros(size, np.int64)).backward()
        assert next(made) == step
    with no_replay():
        F.cross_entropy(model(np.ones((5, 3), np.float32)), np.zeros(5, np.int64)).backward()
    assert next(made) == 3


def test_a_layer_that_is_frozen_between_two_steps_gets_no_gradient() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = np.ones((5, 3), np.float32)
    model(x).sum().backward()
    model.zero_grad()
    model[0].requires_grad_(False)
    model(x).sum().backward()
    assert model[0].weight.grad is None
    assert model[2].weight.grad is not None
    model.zero_grad()
    model[0].requires_grad_(True)
    model(x).sum().backward()
    assert model[0].weight.grad is not None


def test_one_leaf_in_the_places_of_two_has_both_gradients() -> None:
    a, b = leaves(0, [True, True])
    (a * b).sum().backward()
    a.grad = b.grad = None
    (a * a).sum().backward()
    assert a.grad is not None
    np.testing.assert_array_equal(a.grad.numpy(), 2 * a.numpy())


def test_a_change_in_place_is_refused_in_a_planned_pass_too() -> None:
    a, b = leaves(0, [True, True])
    for _ in range(2):
        (a * b).sum().backward()
    loss = (a * b).sum()
    b.data[...] = 0
    with pytest.raises(GraphError, match="changed in place"):
        loss.backward()


def test_a_graph_is_freed_by_a_planned_pass_too() -> None:
    (a,) = leaves(0, [True])
    (a * a).sum().backward()
    loss = (a * a).sum()
    loss.backward()
    with pytest.raises(GraphError, match="freed"):
        loss.backward()


def test_a_leaf_owns_the_gradient_of_a_planned_pass() -> None:
    a, b = leaves(0, [True, True])
    for _ in range(2):
        a.grad = b.grad = None
        (a + b).backward(np.ones((2, 3), np.float32))
    assert a.grad is not None
    assert b.grad is not None
    assert not np.shares_memory(a.grad.numpy(), b.grad.numpy())


def test_shapes_that_never_come_again_are_soon_not_planned_any_more() -> None:
    (a,) = leaves(0, [True])
    for depth in range(3 * EAGER):
        x = a
        for _ in range(depth + 1):
            x = x * a
        x.sum().backward()
    kept = graph.OPS["sum"].plans._plans
    assert len(kept) == PLANS
    assert max(plan._size for plan in kept) <= EAGER + 2
