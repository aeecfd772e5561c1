"""Layers and losses beside PyTorch's, with the state dict that PyTorch saved: outputs and all gradients."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from fedlearn import Tensor, nn
from fedlearn.autograd import recurrent

torch = pytest.importorskip("torch")

DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])


def close(got, want, tolerance):
    want = want.detach().numpy() if isinstance(want, torch.Tensor) else want
    scale = max(1.0, float(np.abs(want).max(initial=0)))
    np.testing.assert_allclose(np.asarray(got), want, rtol=0, atol=tolerance * scale)


def twins(name, args, options, dtype):
    """A layer of ours and PyTorch's, with PyTorch's numbers."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **options).to(torch.float64 if dtype == np.float64 else torch.float32)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.randn_like(p) * 0.5)
    ours = getattr(nn, name)(*args, **options).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def compare(ours, theirs, x, tolerance):
    """Forward and backward of both, weighed at random."""
    mine, other = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(mine), theirs(other)
    close(y.numpy(), z, tolerance)
    weights = np.random.default_rng(1).standard_normal(y.shape).astype(x.dtype)
    y.backward(weights)
    z.backward(torch.tensor(weights))
    close(mine.grad.numpy(), other.grad, tolerance)
    for (name, p), (other_name, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other_name
        close(p.grad.numpy(), q.grad, tolerance)


LAYERS = [
    ("Linear", (5, 3), {}, (2, 4, 5)),
    ("Conv2d", (2, 3, 3), {}, (2, 2, 6, 5)),
    ("Conv2d", (2, 3, (3, 2)), {"stride": 2, "padding": (2, 1), "dilation": (1, 2)}, (2, 2, 7, 6)),
    ("Conv2d", (1, 2, 3), {"bias": False, "padding": 1}, (1, 1, 4, 4)),
    ("MaxPool2d", (2,), {}, (2, 3, 6, 5)),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "dilation": 1}, (2, 3, 7, 5)),
    ("AvgPool2d", (2,), {}, (2, 3, 6, 5)),
    ("AvgPool2d", ((3, 2),), {"stride": 1, "padding": 1}, (2, 3, 6, 5)),
    ("BatchNorm1d", (4,), {}, (5, 4)),
    ("BatchNorm1d", (4,), {"momentum": 0.3, "affine": False}, (5, 4, 3)),
    ("BatchNorm2d", (3,), {"eps": 1e-3}, (4, 3, 2, 5)),
    ("BatchNorm2d", (3,), {"track_running_stats": False}, (4, 3, 2, 5)),
    ("LayerNorm", (5,), {}, (2, 4, 5)),
    ("LayerNorm", ((4, 5),), {"bias": False}, (2, 4, 5)),
    ("LayerNorm", (5,), {"elementwise_affine": False}, (2, 5)),
    ("Conv2d", (4, 6, (3, 2)), {"groups": 2, "padding": "same"}, (2, 4, 5, 6)),
    ("Conv2d", (4, 2, 3, 1, 1, 1, 2), {}, (2, 4, 5, 6)),
    ("Conv2d", (2, 3, 3), {"padding": (1, 2), "padding_mode": "reflect"}, (2, 2, 5, 6)),
    ("Conv2d", (2, 3, np.int64(3)), {"padding": 1, "padding_mode": "circular", "stride": (2,)}, (2, 2, 5, 6)),
    ("Conv2d", (2, 3, 3), {}, (2, 5, 6)),
    ("Conv2d", (2, 3, 3), {}, (0, 2, 5, 6)),
    ("Conv1d", (3, 4, 3), {"stride": 2, "padding": 1, "dilation": 2}, (2, 3, 9)),
    ("Conv1d", (3, 6, 3), {"groups": 3, "padding": 2, "padding_mode": "replicate", "bias": False}, (3, 9)),
    ("ConvTranspose2d", (3, 4, 3), {"stride": 2, "padding": 1, "output_padding": 1}, (2, 3, 4, 5)),
    ("ConvTranspose2d", (4, 6, (2, 3)), {"groups": 2, "dilation": 2, "bias": False}, (4, 4, 5)),
    ("MaxPool2d", (3,), {"stride": 2, "ceil_mode": True}, (2, 3, 6, 6)),
    ("MaxPool2d", (2,), {}, (0, 3, 6, 6)),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}, (2, 3, 6, 5)),
    ("AvgPool2d", (2,), {"divisor_override": 3}, (3, 6, 5)),
    ("AdaptiveAvgPool2d", ((3, None),), {}, (2, 3, 5, 7)),
    ("AdaptiveAvgPool2d", (1,), {}, (2, 3, 5, 7)),
    ("BatchNorm1d", (4,), {"momentum": None}, (5, 4)),
    ("BatchNorm1d", (4,), {}, (0, 4)),
    ("LayerNorm", (np.int64(5),), {}, (0, 5)),
    ("GroupNorm", (2, 4), {}, (3, 4, 5)),
    ("GroupNorm", (2, 4), {"bias": False}, (3, 4, 5)),
    ("BatchNorm2d", (4,), {"bias": False}, (3, 4, 5, 2)),
    ("GroupNorm", (4, 4), {"affine": False, "eps": 0.1}, (3, 4, 2, 2)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Flatten", (), {}, (0, 3, 4)),
    ("Flatten", (0, 1), {}, (2, 3, 4)),
    ("Flatten", (-2,), {"end_dim": -1}, (2, 3, 4)),
    ("Identity", (), {}, (2, 3)),
    ("ReLU6", (), {}, (3, 4)),
    ("ELU", (0.5,), {}, (3, 4)),
    ("CELU", (0.5,), {}, (3, 4)),
    ("SELU", (), {}, (3, 4)),
    ("SiLU", (), {}, (3, 4)),
    ("Mish", (), {}, (3, 4)),
    ("LogSigmoid", (), {}, (3, 4)),
    ("Hardtanh", (-0.5, 0.7), {}, (3, 4)),
    ("Hardswish", (), {}, (3, 4)),
    ("Softsign", (), {}, (3, 4)),
    ("Tanhshrink", (), {}, (3, 4)),
    ("PReLU", (), {}, (3, 4)),
    ("PReLU", (4,), {"init": 0.1}, (3, 4, 2)),
    ("Softmin", (), {}, (3, 4)),
    ("Softmax", (), {}, (2, 3, 4)),
    ("LogSoftmax", (), {}, (3, 4)),
    ("GELU", ("tanh",), {}, (3, 4)),
    ("Sigmoid", (), {}, (3, 4)),
    ("Tanh", (), {}, (3, 4)),
    ("ReLU", (), {}, (3, 4)),
    ("LeakyReLU", (0.2,), {}, (3, 4)),
    ("GELU", (), {}, (3, 4)),
    ("Softplus", (2.0, 1.0), {}, (3, 4)),
    ("Softmax", (1,), {}, (3, 4)),
    ("LogSoftmax", (0,), {}, (3, 4)),
]


@DTYPES
@pytest.mark.parametrize(("name", "args", "options", "shape"), LAYERS, ids=lambda value: str(value))
def test_layers(name, args, options, shape, dtype, tolerance):
    ours, theirs = twins(name, args, options, dtype)
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    for _ in range(2):
        compare(ours, theirs, x, tolerance)
        ours.zero_grad()
        theirs.zero_grad()
    for buffer, value in theirs.state_dict().items():
        close(ours.state_dict()[buffer], value, tolerance)
    compare(ours.eval(), theirs.eval(), x, tolerance)


@DTYPES
def test_pooling_of_equal_numbers_gives_the_gradient_to_the_first(dtype, tolerance):
    compare(*twins("MaxPool2d", (2,), {}, dtype), np.zeros((1, 1, 4, 4), dtype), tolerance)


@DTYPES
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_embeddings(mode, dtype, tolerance):
    indices = np.array([[0, 3, 3], [6, 1, 0]])
    weights = np.random.default_rng(1).standard_normal((2, 2)).astype(dtype)
    for name, options, call in (("Embedding", {}, lambda y: y.sum(1)), ("EmbeddingBag", {"mode": mode}, lambda y: y)):
        ours, theirs = twins(name, (7, 2), options, dtype)
        y, z = call(ours(indices)), call(theirs(torch.tensor(indices)))
        close(y.numpy(), z, tolerance)
        y.backward(weights)
        z.backward(torch.tensor(weights))
        close(ours.weight.grad.numpy(), theirs.weight.grad, tolerance)


LOGITS = (np.random.default_rng(0).standard_normal((6, 4)) * 3).round(3)
IMAGE = (np.random.default_rng(1).standard_normal((2, 4, 3)) * 3).round(3)
TARGET, PIXELS = np.array([0, 3, 1, 1, 2, 0]), np.array([[0, 1, 3], [2, 2, 0]])
CLASS_WEIGHTS = np.array([0.5, 1.0, 2.0, 0.1])
SHARES = np.random.default_rng(2).uniform(0, 1, (6, 4))

LOSSES = [
    ("MSELoss", {}, LOGITS, SHARES),
    ("L1Loss", {}, LOGITS, SHARES),
    ("SmoothL1Loss", {"beta": 0.3}, LOGITS, SHARES),
    ("HuberLoss", {"delta": 2.0}, LOGITS, SHARES),
    ("KLDivLoss", {}, np.log(SHARES), SHARES[::-1].copy()),
    ("KLDivLoss", {"log_target": True}, np.log(SHARES), np.log(SHARES[::-1])),
    ("BCEWithLogitsLoss", {}, LOGITS, SHARES),
    ("BCEWithLogitsLoss", {"pos_weight": CLASS_WEIGHTS, "weight": CLASS_WEIGHTS}, LOGITS, SHARES),
    ("BCELoss", {}, 1 / (1 + np.exp(-LOGITS)), SHARES),
    ("BCELoss", {"weight": CLASS_WEIGHTS}, 1 / (1 + np.exp(-LOGITS)), SHARES),
    ("CrossEntropyLoss", {}, LOGITS, TARGET),
    ("CrossEntropyLoss", {}, IMAGE, PIXELS),
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, LOGITS, TARGET),
    ("CrossEntropyLoss", {"ignore_index": 1}, LOGITS, TARGET),
    ("CrossEntropyLoss", {"ignore_index": 1, "label_smoothing": 0.1}, LOGITS, TARGET),
    ("CrossEntropyLoss", {"weight": CLASS_WEIGHTS, "ignore_index": 0}, LOGITS, TARGET),
    ("NLLLoss", {}, LOGITS, TARGET),
    ("NLLLoss", {"weight": CLASS_WEIGHTS, "ignore_index": 3}, IMAGE, PIXELS),
]


@DTYPES
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "options", "given", "target"), LOSSES)
def test_losses(name, options, given, target, reduction, dtype, tolerance):
    cast = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    goal = target.astype(dtype) if target.dtype.kind == "f" else target
    ours = getattr(nn, name)(reduction=reduction, **cast)
    theirs = getattr(torch.nn, name)(
        reduction=reduction, **{k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in cast.items()}
    )
    x = given.astype(dtype)
    mine, other = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(mine, goal), theirs(other, torch.tensor(goal))
    close(y.numpy(), z, tolerance)
    y.sum().backward()
    z.sum().backward()
    close(mine.grad.numpy(), other.grad, tolerance)


def test_every_layer_and_loss_stands_beside_pytorchs_under_its_arguments():
    left_out = {
        "inplace",
        "device",
        "dtype",
        "size_average",
        "reduce",
        "return_indices",
        "proj_size",
        "min_value",
        "max_value",
    }
    left_out |= {"max_norm", "norm_type", "scale_grad_by_freq", "sparse"}
    of_no_name = {"ConvTranspose2d": {"padding_mode"}, "Embedding": {"_weight", "_freeze"}, "EmbeddingBag": {"_weight"}}
    containers = {"Module", "ModuleDict", "ModuleList", "ParameterList", "Sequential", "Dropout", "Embedding"}
    compared = {name for name, *_ in [*LAYERS, *LOSSES]} | containers
    compared |= {"Hardsigmoid", "EmbeddingBag", "LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"}
    for name in nn.__all__:
        kind = getattr(nn, name)
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            continue
        assert name in compared, name
        theirs = set(inspect.signature(getattr(torch.nn, name).__init__).parameters)
        if name in containers - {"Dropout", "Embedding"} or "args" in theirs:
            continue
        theirs -= left_out | of_no_name.get(name, set())
        assert set(inspect.signature(kind.__init__).parameters) - {"rng"} == theirs, name


# Recurrent layers

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


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("LSTM", {}),
        ("LSTM", {"num_layers": 2, "batch_first": True}),
        ("LSTM", {"bias": False}),
        ("GRU", {}),
        ("GRU", {"num_layers": 2, "batch_first": True}),
        ("GRU", {"bias": False}),
        ("RNN", {}),
        ("RNN", {"num_layers": 2, "nonlinearity": "relu"}),
        ("LSTM", {"num_layers": 2, "bidirectional": True}),
        ("GRU", {"bidirectional": True, "bias": False, "batch_first": True}),
        ("RNN", {"num_layers": 2, "bidirectional": True}),
    ],
)
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
@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "RNNCell"])
def test_cells(name, dtype, tolerance):
    ours, theirs = twins(name, (3, 5), {}, dtype)
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


def test_initial_numbers_have_pytorchs_spread():
    torch.manual_seed(0)
    for name, args in [("Linear", (50, 40)), ("Conv2d", (5, 40, 3)), ("LSTM", (20, 30)), ("Embedding", (300, 20))]:
        rng = np.random.default_rng(0)
        ours, theirs = getattr(nn, name)(*args, rng=rng), getattr(torch.nn, name)(*args)
        for (label, p), (other, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            assert label == other
            assert p.shape == tuple(q.shape)
            assert p.numpy().std() == pytest.approx(q.std().item(), rel=0.25)
            if p.size > 500 and name != "Embedding":
                assert np.abs(p.numpy()).max() == pytest.approx(q.abs().max().item(), rel=0.05)
