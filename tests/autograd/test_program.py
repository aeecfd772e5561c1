"""A program gives the bits of the tape that it was written from, on other numbers too, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlearn import Tensor
from fedlearn.autograd import fused, ops
from fedlearn.autograd.kept import KERNELS, Unfit
from fedlearn.autograd.program import Program
from fedlearn.autograd.walk import pullback
from tests.autograd.cases import CASES, Case

# Ops that layers are made of and that a program runs; the other cases may be refused, by what goes into them or by the
# order in which what they give lies in memory.
RUN = {
    "add", "sub", "mul", "div", "neg", "exp", "log", "sqrt", "tanh", "sigmoid", "softplus", "relu", "leaky_relu",
    "gelu", "conv2d", "dropout", "max_pool", "linear", "matmul", "softmax", "log_softmax", "reshape", "square", "erf",
}  # fmt: skip


def by_tape(loss: Tensor, leaves: list[Tensor]) -> list[bytes]:
    found = {leaf._id: g for leaf, g in pullback(loss, np.ones(loss.shape, loss.dtype))}
    dense = [found.get(x._id, np.zeros_like(x._data)) for x in leaves]
    return [loss.numpy().tobytes(), *(np.asarray(getattr(g, "dense", lambda g=g: g)()).tobytes() for g in dense)]


def by_program(program: Program, batch: list[np.ndarray], places: list[np.ndarray]) -> list[bytes]:
    program.run(batch)
    return [program.loss.tobytes(), *(place.tobytes() for place in places)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_op_runs_from_a_program_as_on_the_tape(case: Case, dtype: type):
    draw = lambda seed: case.draw(np.random.default_rng(seed), (2, 3, 4))  # noqa: E731
    leaves = [Tensor(x.astype(dtype), requires_grad=True) for x in draw(3)]

    def loss() -> Tensor:
        y = case.run(*leaves)
        return y * y + y

    places = [np.full(x.shape, 7, dtype) for x in leaves]
    try:
        program = Program(loss(), [], leaves, places)
    except Unfit:
        assert case.name not in RUN
        return
    for scale in (1, 0.9, 0.7):
        for x, drawn in zip(leaves, draw(3), strict=True):
            x._data[...] = drawn * scale
        assert by_program(program, [], places) == by_tape(loss(), leaves)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_that_are_run_again_agree_with_differences(case: Case):
    """By the plan of a backward pass for every op, and by a program where there is one."""
    rng = np.random.default_rng(8)
    drawn = [x.astype(np.float64) for x in case.draw(rng, (2, 3, 4))]
    leaves = [Tensor(x, requires_grad=True) for x in drawn]

    def loss() -> Tensor:
        y = case.run(*leaves)
        return y * y + y

    def backward() -> list[np.ndarray]:
        for x in leaves:
            x.grad = None
        loss().sum().backward()
        return [np.zeros(x.shape) if x.grad is None else np.asarray(_dense(x.grad)) for x in leaves]

    def slope(directions: list[np.ndarray], step: float = 1e-5) -> float:
        values = []
        for sign in (1, -1):
            for x, at, direction in zip(leaves, drawn, directions, strict=True):
                x._data[...] = at + sign * step * direction
            values.append(float(loss().numpy().sum()))
        for x, at in zip(leaves, drawn, strict=True):
            x._data[...] = at
        return (values[0] - values[1]) / (2 * step)

    found = [backward() for _ in range(3)][-1]
    places = [np.zeros(x.shape) for x in leaves]
    try:
        program: Program | None = Program(loss(), [], leaves, places)
    except Unfit:  # as the test above has it
        program = None
    if program is not None:
        program.run([])
        assert [place.tobytes() for place in places] == by_tape(loss(), leaves)[1:]
    for _ in range(3):
        directions = [rng.standard_normal(x.shape) for x in leaves]
        claimed = sum(float((g * direction).sum()) for g, direction in zip(found, directions, strict=True))
        size = max(1.0, abs(claimed), *(float(np.abs(g).max(initial=0)) for g in found))
        assert abs(slope(directions) - claimed) <= 1e-5 * size


def _dense(gradient: object) -> np.ndarray:
    return getattr(gradient, "dense", gradient.numpy)()  # type: ignore[attr-defined]


def stacked_linear(rng: np.random.Generator, copies: tuple[int, ...], inputs: int, outputs: int) -> list[Tensor]:
    return [
        Tensor(rng.standard_normal((*copies, outputs, inputs), np.float32), requires_grad=True),
        Tensor(rng.standard_normal((*copies, outputs), np.float32), requires_grad=True),
    ]


@settings(max_examples=60)
@given(
    copies=st.sampled_from([(), (1,), (5,)]),
    sizes=st.tuples(st.integers(1, 70), st.integers(1, 33), st.integers(1, 12)),
    examples=st.integers(1, 40),
    two=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_networks_of_every_size_have_the_tapes_bits(copies, sizes, examples, two, seed):
    rng = np.random.default_rng(seed)
    inputs, hidden, outputs = sizes
    leaves = stacked_linear(rng, copies, inputs, hidden) + stacked_linear(rng, copies, hidden, outputs)
    w1, b1, w2, b2 = leaves

    def draw() -> list[np.ndarray]:
        x = (rng.standard_normal((*copies, examples, inputs)) * 10.0 ** rng.integers(-3, 3)).astype(np.float32)
        target = rng.integers(outputs, size=(*copies, examples))
        return [x, rng.random((*copies, examples), np.float32) if two else target]

    def loss(batch: list[np.ndarray]) -> Tensor:
        logits = ops.linear(ops.relu(ops.linear(batch[0], w1, b1)), w2, b2)
        if two:
            return fused.bce_with_logits(ops.sum_(logits, axis=-1), batch[1], average=1)
        return fused.cross_entropy(logits, target=batch[1], average=True)

    first = draw()
    places = [np.full(x.shape, 7, np.float32) for x in leaves]
    program = Program(loss(first), first, leaves, places)
    for batch in (first, draw(), draw()):
        assert by_program(program, batch, places) == by_tape(loss(batch), leaves)


def test_a_layer_of_some_of_the_columns_has_the_tapes_bits():
    rng = np.random.default_rng(5)
    for width in (7, 20, 33, 64, 100):
        weight = Tensor(rng.standard_normal((1, width), np.float32), requires_grad=True)
        inner = Tensor(rng.standard_normal((width + 5, 8), np.float32), requires_grad=True)
        x, place = rng.standard_normal((9, 8), np.float32), [np.zeros(w.shape, np.float32) for w in (weight, inner)]

        def loss(weight: Tensor = weight, inner: Tensor = inner, x: np.ndarray = x, width: int = width) -> Tensor:
            return ops.sum_(ops.linear(ops.linear(x, inner)[:, :width], weight))

        assert by_program(Program(loss(), [x], [weight, inner], place), [x], place) == by_tape(loss(), [weight, inner])


def test_ties_zeros_and_what_is_not_finite_have_the_tapes_bits():
    weight, bias = Tensor(np.eye(3, dtype=np.float32), requires_grad=True), Tensor(np.zeros(3), requires_grad=True)
    bias = Tensor(np.zeros(3, np.float32), requires_grad=True)
    target = np.array([0, 1, 2, 0])

    def loss(x: np.ndarray) -> Tensor:
        hidden = ops.relu(ops.linear(x, weight, bias))
        return fused.cross_entropy(ops.linear(hidden, weight, bias), target=target, average=True)

    places = [np.zeros((3, 3), np.float32), np.zeros(3, np.float32)]
    ordinary = np.ones((4, 3), np.float32)
    program = Program(loss(ordinary), [ordinary, target], [weight, bias], places)
    odd = np.array([[0, -0.0, 1], [np.inf, 0, 1], [np.nan, 1, 2], [3e38, -3e38, 3e38]], np.float32)
    with np.errstate(all="raise"):
        assert by_program(program, [odd, target], places) == by_tape(loss(odd), [weight, bias])


def test_a_leaf_without_part_in_the_loss_has_the_gradient_zero_however_its_place_was_used():
    used, unused = (Tensor(np.ones(2, np.float32), requires_grad=True) for _ in range(2))
    places = [np.zeros(2, np.float32), np.zeros(2, np.float32)]
    program = Program(used * used, [], [used, unused], places)
    places[1][:] = 5
    program.run([])
    assert places[0].tolist() == [2, 2]
    assert places[1].tolist() == [0, 0]


def test_a_leaf_that_is_used_several_times_has_the_sum():
    x = Tensor(np.array([2.0, 3.0], np.float32), requires_grad=True)
    place = np.zeros(2, np.float32)
    program = Program(x * x + ops.relu(x) + x.reshape(2, 1).reshape(2), [], [x], [place])
    program.run([])
    assert place.tolist() == [6, 8]


def test_classes_out_of_range_are_no_neighbours_row():
    logits, target = Tensor(np.ones((2, 3), np.float32), requires_grad=True), np.array([0, 2])
    program = Program(
        fused.cross_entropy(logits, target=target, average=True), [target], [logits], [np.zeros((2, 3), np.float32)]
    )
    for wrong in ([0, 3], [-1, 0]):
        with pytest.raises(IndexError, match="0 to 2"):
            program.run([np.array(wrong)])


def test_what_no_tape_shows_is_refused():
    x, batch = Tensor(np.ones((2, 3), np.float32), requires_grad=True), np.arange(6, dtype=np.float32).reshape(2, 3)
    place = [np.zeros((2, 3), np.float32)]
    numbers = np.array([0, 1])
    for loss in (
        x * (batch > 2),  # a mask by comparison
        x * batch[:1],  # a piece of the batch
        x * np.ones(3, np.float32),  # an array that may be anything
        ops.take(x, indices=numbers),  # whole numbers that take() does not check
        x * Tensor(np.ones((2, 3)), requires_grad=True),  # another leaf
    ):
        with pytest.raises(Unfit):
            Program(loss, [batch, numbers], [x], place)
    Program(x * batch.reshape(2, 3), [batch, numbers], [x], place)


def test_every_written_op_is_an_op():
    assert set(KERNELS) <= {case.name for case in CASES}


def bags_of(rng: np.random.Generator, clients: int, bags: int, vocabulary: int, kind: type) -> list[np.ndarray]:
    """Words, offsets and targets of some bags, some of them empty."""
    sizes = rng.integers(5, size=(clients, bags)) * rng.integers(2, size=(clients, bags))
    ends = np.cumsum(sizes).reshape(sizes.shape)
    words = rng.integers(vocabulary, size=sizes.sum()).astype(kind)
    return [words, ends - sizes, rng.random(sizes.shape, np.float32)]


@settings(max_examples=60)
@given(
    clients=st.sampled_from([1, 2, 5]),
    alone=st.booleans(),
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 17), st.integers(1, 6)),
    padding=st.sampled_from([0, 1, 3]),
    mode=st.sampled_from(["sum", "mean"]),
    kind=st.sampled_from([np.int32, np.int64]),
    seed=st.integers(0, 2**31),
)
def test_bags_of_any_number_of_words_have_the_tapes_bits(clients, alone, sizes, padding, mode, kind, seed):
    rng = np.random.default_rng(seed)
    vocabulary, width, bags = sizes
    clients = 1 if alone else clients
    memory = rng.standard_normal((clients, vocabulary * width + padding), np.float32)
    table = memory[:, : vocabulary * width].reshape(clients, vocabulary, width)
    weight = Tensor(np.zeros((1, 1), np.float32), requires_grad=True)
    weight._data = table[0] if alone else table

    def draw() -> list[np.ndarray]:
        batch = bags_of(rng, clients, bags, vocabulary, kind)
        return [batch[0], batch[1][0], batch[2][0]] if alone else batch

    def loss(batch: list[np.ndarray]) -> Tensor:
        sums = fused.embedding_bag(weight, indices=batch[0], offsets=batch[1], mode=mode)
        return fused.bce_with_logits(ops.sum_(sums, axis=-1), batch[2], average=1)

    room = np.full_like(memory, 7)
    place = room[:, : vocabulary * width].reshape(clients, vocabulary, width)
    places, first = [place[0] if alone else place], draw()
    program = Program(loss(first), first, [weight], places)
    for batch in (first, draw(), draw()):
        assert program.fits(batch)
        assert by_program(program, batch, places) == by_tape(loss(batch), [weight])
    assert (room[:, vocabulary * width :] == 7).all()  # what lies between is nobody's


@pytest.mark.parametrize("wrong", ["word", "negative", "offset", "first", "falling"])
def test_words_and_bags_out_of_range_are_nobody_elses(wrong):
    weight = Tensor(np.ones((3, 2), np.float32), requires_grad=True)

    def loss(batch: list[np.ndarray]) -> Tensor:
        sums = fused.embedding_bag(weight, indices=batch[0], offsets=batch[1], mode="sum")
        return fused.bce_with_logits(ops.sum_(sums, axis=-1), batch[2], average=1)

    batch = [np.array([0, 1, 2, 1]), np.array([0, 1, 3]), np.ones(3, np.float32)]
    program = Program(loss(batch), batch, [weight], [np.zeros((3, 2), np.float32)])
    place = {"word": (0, 2, 3), "negative": (0, 2, -1), "offset": (1, 2, 5), "first": (1, 0, 1), "falling": (1, 1, 4)}
    array, index, value = place[wrong]
    batch[array][index] = value
    with pytest.raises(IndexError):
        program.run(batch)
