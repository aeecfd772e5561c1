"""Recurrent layers, and their cells, against PyTorch's, with numbers in double and in single precision."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import Tensor, nn
from fedlearn.autograd import recurrent
from tests.oracle.test_layers import DTYPES, close, twins

torch = pytest.importorskip("torch")

LENGTHS = [1, 7, 64]


def run_both(ours, theirs, x, state, tolerance):
    mine, other = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    ours_state = [Tensor(s, requires_grad=True) for s in state]
    their_state = [torch.tensor(s, requires_grad=True) for s in state]
    if len(state) == 1:
        y, last = ours(mine, ours_state[0])
        z, their_last = theirs(other, their_state[0])
        last, their_last = [last], [their_last]
    else:
        y, last = ours(mine, tuple(ours_state))
        z, their_last = theirs(other, tuple(their_state))
    rng = np.random.default_rng(1)
    total, their_total = 0.0, 0.0
    for a, b in zip([y, *last], [z, *their_last], strict=True):
        close(a.numpy(), b, tolerance)
        weights = rng.standard_normal(a.shape).astype(x.dtype)
        total, their_total = total + (a * weights).sum(), their_total + (b * torch.tensor(weights)).sum()
    total.backward()
    their_total.backward()
    for a, b in zip([mine, *ours_state], [other, *their_state], strict=True):
        close(a.grad.numpy(), b.grad, tolerance)
    for (name, p), (other_name, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other_name
        assert np.abs(p.grad.numpy()).max() > 0
        close(p.grad.numpy(), q.grad, tolerance)


OPTIONS = [
    ("LSTM", {}),
    ("LSTM", {"num_layers": 2, "batch_first": True}),
    ("LSTM", {"bias": False, "dropout": 0.0}),
    ("GRU", {}),
    ("GRU", {"num_layers": 2, "batch_first": True}),
    ("GRU", {"bias": False, "dropout": 0.0}),
    ("RNN", {}),
    ("RNN", {"num_layers": 2, "nonlinearity": "relu"}),
    ("RNN", {"bias": False, "batch_first": True, "dropout": 0.0}),
    ("LSTM", {"num_layers": 2, "bidirectional": True}),
    ("GRU", {"bidirectional": True, "bias": False, "batch_first": True}),
    ("RNN", {"num_layers": 2, "bidirectional": True}),
]
CELLS = [
    *((name, {}) for name in ("LSTMCell", "GRUCell", "RNNCell")),
    *((name, {"bias": False}) for name in ("LSTMCell", "GRUCell", "RNNCell")),
    ("RNNCell", {"nonlinearity": "relu"}),
]
ALL = [(name, (3, 5), options) for name, options in [*OPTIONS, *CELLS]]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("name", "options"), OPTIONS)
@DTYPES
def test_recurrent_layers(name, options, length, dtype, tolerance):
    ours, theirs = twins(name, (3, 5), options, dtype)
    if "nonlinearity" in options:  # relu grows without bound over 64 steps
        with torch.no_grad():
            for p in theirs.parameters():
                p.mul_(0.5)
        ours.load_state_dict(theirs.state_dict())
    rng = np.random.default_rng(0)
    shape = (4, length, 3) if options.get("batch_first") else (length, 4, 3)
    layers = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    states = [rng.standard_normal((layers, 4, 5)).astype(dtype) for _ in range(ours.states)]
    run_both(ours, theirs, rng.standard_normal(shape).astype(dtype), states, tolerance)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_of_every_length_up_to_64(name):
    ours, theirs = twins(name, (3, 5), {}, np.float64)
    rng = np.random.default_rng(0)
    for length in range(1, 65):
        states = [rng.standard_normal((1, 2, 5)) for _ in range(ours.states)]
        run_both(ours, theirs, rng.standard_normal((length, 2, 3)), states, 1e-10)
        ours.zero_grad()
        theirs.zero_grad()


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_sequences_of_different_lengths(name, batch_first, bidirectional, with_state):
    options = {"num_layers": 2, "batch_first": batch_first, "bidirectional": bidirectional}
    ours, theirs = twins(name, (3, 5), options, np.float64)
    rng = np.random.default_rng(0)
    lengths = np.array([6, 1, 4, 3])
    x = rng.standard_normal((4, 6, 3) if batch_first else (6, 4, 3))
    beyond = np.arange(6)[:, None] >= lengths
    x[beyond.T if batch_first else beyond] = np.nan  # what stands there is not read
    state = tuple(rng.standard_normal((4 if bidirectional else 2, 4, 5)) for _ in range(ours.states))
    given = (state if ours.states > 1 else state[0]) if with_state else None
    others = tuple(map(torch.tensor, state)) if ours.states > 1 else torch.tensor(state[0])
    mine, other = Tensor(x, requires_grad=True), torch.tensor(np.nan_to_num(x), requires_grad=True)
    y, last = ours(mine, given, lengths)
    packed = torch.nn.utils.rnn.pack_padded_sequence(other, torch.tensor(lengths), batch_first, enforce_sorted=False)
    z, their_last = theirs(packed, others if with_state else None)
    z, _ = torch.nn.utils.rnn.pad_packed_sequence(z, batch_first)
    total, their_total = 0.0, 0.0
    pairs = [(y, z), *zip(last, their_last, strict=True)] if ours.states > 1 else [(y, z), (last, their_last)]
    for a, b in pairs:
        close(a.numpy(), b, 1e-10)
        weights = rng.standard_normal(a.shape)
        total, their_total = total + (a * weights).sum(), their_total + (b * torch.tensor(weights)).sum()
    total.backward()
    their_total.backward()
    close(mine.grad.numpy(), other.grad, 1e-10)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.grad.numpy(), q.grad, 1e-10)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("words", [4, 50])
def test_words_in_sequences_of_different_lengths_both_ways(name, words):
    ours = getattr(nn, name)(3, 5, bidirectional=True).double()
    rng = np.random.default_rng(0)
    ids, lengths, table = rng.integers(0, words, (6, 4)), np.array([6, 1, 4, 3]), rng.standard_normal((words, 3))
    results = []
    for run in (lambda w: ours.embedded(ids, w, None, lengths), lambda w: ours(w[ids], None, lengths)):
        ours.zero_grad()
        weight = Tensor(table, requires_grad=True)
        y, last = run(weight)
        (y * y).sum().backward()
        parts = last if isinstance(last, tuple) else (last,)
        gradients = [p.grad.numpy() for p in ours.parameters()]
        results.append([y.numpy(), *(part.numpy() for part in parts), weight.grad.numpy(), *gradients])
    for a, b in zip(*results, strict=True):
        close(a, b, 1e-12)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_one_sequence_without_a_batch_and_a_batch_without_sequences(name, batch_first):
    ours, theirs = twins(name, (3, 5), {"num_layers": 2, "batch_first": batch_first}, np.float64)
    rng = np.random.default_rng(0)
    states = [rng.standard_normal((2, 5)) for _ in range(ours.states)]
    run_both(ours, theirs, rng.standard_normal((6, 3)), states, 1e-10)
    ours.zero_grad()
    y, last = ours(np.zeros((0, 4, 3) if batch_first else (4, 0, 3)))
    assert y.shape == ((0, 4, 5) if batch_first else (4, 0, 5))
    assert all(part.shape == (2, 0, 5) for part in (last if isinstance(last, tuple) else (last,)))
    y.sum().backward()
    assert all(not p.grad.numpy().any() for p in ours.parameters())
    cell = getattr(nn, f"{name}Cell")(3, 5)
    end = cell(np.zeros((0, 3), np.float32))
    assert (end[0] if isinstance(end, tuple) else end).shape == (0, 5)


@DTYPES
@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "RNNCell"])
def test_cells_without_a_batch(name, dtype, tolerance):
    ours, theirs = twins(name, (3, 5), {}, dtype)
    x = np.random.default_rng(0).standard_normal(3).astype(dtype)
    state = [np.random.default_rng(i).standard_normal(5).astype(dtype) for i in range(ours.states)]
    y = ours(x, tuple(state) if ours.states > 1 else state[0])
    z = theirs(torch.tensor(x), tuple(map(torch.tensor, state)) if ours.states > 1 else torch.tensor(state[0]))
    for a, b in zip(y if ours.states > 1 else [y], z if ours.states > 1 else [z], strict=True):
        close(a.numpy(), b, tolerance)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_dropout_between_layers_is_for_training_alone(name):
    ours, theirs = twins(name, (3, 5), {"num_layers": 2, "dropout": 0.7}, np.float64)
    x = np.random.default_rng(0).standard_normal((6, 4, 3))
    dropped = ours(x)[0].numpy()
    close(ours.eval()(x)[0].numpy(), theirs.eval()(torch.tensor(x))[0], 1e-10)
    assert not np.allclose(dropped, ours(x)[0].numpy())


@pytest.mark.parametrize("plan", [recurrent.KernelPlan(cut=False), recurrent.KernelPlan(cut=True)])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_cut_into_blocks(name, plan):
    ours, theirs = twins(name, (3, 128), {}, np.float64)
    with torch.no_grad():
        for p in theirs.parameters():
            p.mul_(0.2)
    ours.load_state_dict(theirs.state_dict())
    rng = np.random.default_rng(0)
    states = [rng.standard_normal((1, 64, 128)) for _ in range(ours.states)]
    before = recurrent.current()
    recurrent.use(plan)
    try:
        run_both(ours, theirs, rng.standard_normal((6, 64, 3)), states, 1e-10)
    finally:
        recurrent.use(before)


@DTYPES
@pytest.mark.parametrize(("name", "options"), CELLS)
def test_cells(name, options, dtype, tolerance):
    ours, theirs = twins(name, (3, 5), options, dtype)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 3)).astype(dtype)
    states = [rng.standard_normal((4, 5)).astype(dtype) for _ in range(ours.states)]
    y = ours(x, states[0] if ours.states == 1 else tuple(states))
    z = theirs(torch.tensor(x), torch.tensor(states[0]) if ours.states == 1 else tuple(map(torch.tensor, states)))
    y, z = (y, z) if ours.states > 1 else ([y], [z])
    for a, b in zip(y, z, strict=True):
        close(a.numpy(), b, tolerance)
    sum((a * a).sum() for a in y).backward()
    sum((b * b).sum() for b in z).backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.grad.numpy(), q.grad, tolerance)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_second_derivatives(name):
    ours, theirs = twins(name, (3, 4), {}, np.float64)
    x = np.random.default_rng(0).standard_normal((6, 2, 3))
    mine, other = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    (ours(mine)[0] ** 2).sum().backward(create_graph=True)
    (mine.grad * mine.grad).sum().backward()
    (g,) = torch.autograd.grad((theirs(other)[0] ** 2).sum(), other, create_graph=True)
    penalty = torch.autograd.grad((g * g).sum(), list(theirs.parameters()))
    first = torch.autograd.grad((theirs(other)[0] ** 2).sum(), list(theirs.parameters()))
    for p, a, b in zip(ours.parameters(), penalty, first, strict=True):
        close(p.grad.numpy(), a + b, 1e-10)
