"""Layers and losses beside PyTorch's, with the state dict that PyTorch saved: outputs and all gradients."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from fedlearn import Tensor, nn, optim

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
    ("Linear", (5, 3, False), {}, (5,)),
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
    ("BatchNorm1d", (4, 0.1, 0.2, True, False), {}, (5, 4)),
    ("BatchNorm1d", (4,), {"bias": False}, (5, 4)),
    ("BatchNorm2d", (3,), {"affine": False, "momentum": 0.4}, (4, 3, 2, 5)),
    ("LayerNorm", (5, 0.1), {}, (2, 5)),
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
    ("Softmin", (0,), {}, (3, 4)),
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


TWO, FLAT, OFFSETS = np.array([[0, 3, 3], [6, 1, 0]]), np.array([0, 3, 3, 6, 1]), np.array([0, 2, 2])
EMBEDDINGS = [
    ("Embedding", (7, 2), {}, (TWO,)),
    ("Embedding", (7, 2, 3), {}, (TWO,)),
    ("Embedding", (7, 2), {"padding_idx": -1}, (FLAT,)),
    ("EmbeddingBag", (7, 2), {}, (TWO,)),
    ("EmbeddingBag", (7, 2), {"mode": "sum"}, (FLAT, OFFSETS)),
    ("EmbeddingBag", (7, 2), {"mode": "mean", "padding_idx": 3}, (FLAT, OFFSETS)),
    ("EmbeddingBag", (7, 2), {"include_last_offset": True, "mode": "sum"}, (FLAT, np.array([0, 3, 5]))),
]


@DTYPES
@pytest.mark.parametrize(("name", "args", "options", "inputs"), EMBEDDINGS, ids=lambda value: str(value)[:30])
def test_embeddings(name, args, options, inputs, dtype, tolerance):
    ours, theirs = twins(name, args, options, dtype)
    y, z = ours(*inputs), theirs(*map(torch.tensor, inputs))
    close(y.numpy(), z, tolerance)
    weights = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
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
        assert set(inspect.signature(kind.__init__).parameters) - {"rng", "args", "options"} == theirs, name


COMPARED_ELSEWHERE = {"ModuleDict", "ModuleList", "ParameterList", "Dropout"}  # tests/nn; dropout draws


def test_every_argument_of_every_layer_and_loss_has_a_case():
    from tests.oracle.test_recurrent import ALL

    given = {name: set() for name in nn.__all__}
    for name, args, options, *_ in [*LAYERS, *EMBEDDINGS, *ALL]:
        given[name] |= set(inspect.signature(getattr(nn, name)).bind(*args, **options).arguments)
    for name, options, *_ in LOSSES:
        given[name] |= {*options, "reduction"}
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for name in set(nn.__all__) - COMPARED_ELSEWHERE:
        kind = getattr(nn, name)
        if isinstance(kind, type) and issubclass(kind, nn.Module):
            named = {p.name for p in inspect.signature(kind).parameters.values() if p.kind not in variable}
            assert named - given[name] <= {"rng"}, name


GIVEN_UP = {"self", "size_average", "reduce"}  # by PyTorch
OTHER_ORDER = {"Buffer", "EmbeddingBag", "embedding_bag"}  # docs/engine.md


def by_position(call):
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(call).parameters.values()
    return [p.name for p in parameters if p.kind in kinds and p.name not in GIVEN_UP]


FACES = [(nn, torch.nn), (nn.functional, torch.nn.functional), (nn.utils, torch.nn.utils), (nn.init, torch.nn.init)]
FACES += [(optim, torch.optim), (optim.lr_scheduler, torch.optim.lr_scheduler)]


@pytest.mark.parametrize(("ours", "theirs"), FACES, ids=lambda face: face.__name__)
def test_arguments_stand_where_pytorchs_do(ours, theirs):
    for name in dir(ours):
        mine, other = getattr(ours, name), getattr(theirs, name, None)
        if name.startswith("_") or name in OTHER_ORDER or not (callable(mine) and callable(other)):
            continue
        try:
            expected = by_position(other)
        except ValueError:  # written in C
            continue
        if expected:  # some of PyTorch's take anything and look later
            found = [argument for argument in by_position(mine) if argument != "rng"]
            assert found == expected[: len(found)], name


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
