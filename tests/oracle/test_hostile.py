"""Every public layer, loss, function, optimizer and schedule with inputs that nobody expects.

Each either equals PyTorch in float64 or raises a typed error; none warns, raises anything else, or gives nan where
PyTorch has a number. The table is generated from the cases of `test_functional`, `test_layers` and `test_optim`, which
must have one of every name on the faces.
"""

from __future__ import annotations

import contextlib
import inspect
import warnings

import numpy as np
import pytest

from fedlearn import Tensor, grad, nn, optim
from fedlearn.autograd.node import raw
from fedlearn.errors import BadInput, FedlearnError
from fedlearn.nn import functional as F
from tests.hostile.inputs import (
    FLOATING,
    LAYOUTS,
    NO_NUMBERS,
    NUMBERS,
    read_only,
    strided,
    with_odd_arguments,
    with_one,
)
from tests.oracle.test_functional import CASES, FLOAT32_CONSTANTS, theirs
from tests.oracle.test_functional import ours as functional_ours
from tests.oracle.test_layers import LAYERS, LOSSES, twins
from tests.oracle.test_optim import RULES, SCHEDULES

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("error")


OUTDONE = {  # where this library has a number and PyTorch none
    ("normalize", "huge"), ("normalize", "tiny"), ("cosine_similarity", "huge"), ("cosine_similarity", "tiny"),
}  # fmt: skip


def first_cases():
    """(name, how ours is called, how theirs is, its first input) of every function, layer and loss."""
    for name, cases in CASES.items():
        if name == "dropout":  # draws
            continue
        (x, *rest), options = cases[0]
        yield (
            name,
            lambda x, name=name, rest=rest, options=options: getattr(F, name)(x, *rest, **options),
            lambda x, name=name, rest=rest, options=options: theirs(name, [x, *rest], options)[0],
            x,
        )
    seen = set()
    for name, args, options, shape in LAYERS:
        if name not in seen:
            seen.add(name)
            layer, other = twins(name, args, options, np.float64)
            x = np.random.default_rng(0).standard_normal(shape)
            yield name, layer, lambda x, other=other: other(torch.as_tensor(x)), x
    for name, options, x, target in LOSSES:
        if name not in seen:
            seen.add(name)
            yield (
                name,
                lambda x, name=name, options=options, target=target: getattr(nn, name)(**options)(x, target),
                lambda x, name=name, options=options, target=target: getattr(torch.nn, name)(**options)(
                    torch.as_tensor(x), torch.tensor(target)
                ),
                x,
            )
    for name in ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"):
        layer, other = twins(name, (3, 2), {}, np.float64)
        x = np.random.default_rng(0).standard_normal((2, 3) if name.endswith("Cell") else (4, 2, 3))
        yield name, layer, lambda x, other=other: other(torch.as_tensor(x)), x


TABLE = list(first_cases())
ALL = [pytest.param(*row, id=row[0] + ("" if i < len(CASES) - 1 else ".layer")) for i, row in enumerate(TABLE)]


def numbers(result) -> np.ndarray:
    while isinstance(result, tuple):
        result = result[0]
    return result.detach().numpy() if torch.is_tensor(result) else np.asarray(raw(result))


def attempt(run, x):
    """What comes out, or the typed error."""
    try:
        return numbers(run(x))
    except FedlearnError as error:
        return error


@pytest.mark.parametrize(("name", "ours", "other", "x"), ALL)
def test_the_layout_in_memory_changes_nothing(name, ours, other, x):
    expected = numbers(ours(x))
    for layout, change in LAYOUTS.items():
        got = attempt(ours, change(x))
        assert not isinstance(got, Exception), f"{layout}: {got}"
        close = {"rtol": 1e-4, "atol": 1e-6} if layout == "list" else {"rtol": 1e-12}  # lists become float32
        np.testing.assert_allclose(got, expected, **close, err_msg=layout)


@pytest.mark.parametrize(("name", "ours", "other", "x"), ALL)
def test_odd_numbers_are_as_pytorchs_or_refused(name, ours, other, x):
    for kind, change in NUMBERS.items():
        if x.dtype.kind != "f" and kind in FLOATING:
            continue
        given = change(x)
        got = attempt(ours, given if given.dtype.kind != "f" else Tensor(given))
        if isinstance(got, Exception):
            assert kind not in ("zeros", "tiny") or refused(other, given), f"{kind}: {got}"
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = numbers(other(given))
        except (RuntimeError, ValueError, IndexError, TypeError, AssertionError):
            continue  # PyTorch refuses more, as whole numbers
        if (name, kind) in OUTDONE or expected.dtype.kind != "f":
            continue
        assert got.shape == expected.shape, kind
        lost = np.isnan(got) & ~np.isnan(expected)
        assert not lost.any(), f"{kind}: nan in place of {expected[lost][:3]}"
        known = np.isfinite(expected)
        limit = 1e-4 if given.dtype.kind != "f" else 1e-9
        np.testing.assert_allclose(got[known], expected[known], rtol=limit, atol=limit, err_msg=kind)


def refused(run, x) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run(x)
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError):
        return True
    return False


@pytest.mark.parametrize(("name", "ours", "other", "x"), ALL)
def test_what_is_no_number_is_refused(name, ours, other, x):
    if name == "Identity":
        return
    for kind, change in NO_NUMBERS.items():
        got = attempt(ours, change(x))
        assert isinstance(got, BadInput), f"{kind}: {got!r:.80}"


CONSTRUCTORS = {name: (args, options) for name, args, options, _ in LAYERS} | {
    name: ((), options) for name, options, *_ in LOSSES
}
CONSTRUCTORS |= {name: ((3, 2, 1, True, False, 0.0, False), {}) for name in ("LSTM", "GRU")}
CONSTRUCTORS |= {name: ((3, 2, True), {}) for name in ("LSTMCell", "GRUCell")}
CONSTRUCTORS |= {"RNN": ((3, 2, 1, "tanh"), {}), "RNNCell": ((3, 2, True, "tanh"), {}), "Dropout": ((0.5,), {})}
CONSTRUCTORS |= {"Embedding": ((5, 2, 1), {}), "EmbeddingBag": ((5, 2, "sum"), {"padding_idx": 1})}


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_odd_arguments_make_a_layer_or_are_refused(name):
    for args, options in with_odd_arguments(*CONSTRUCTORS[name]):
        with contextlib.suppress(BadInput):
            getattr(nn, name)(*args, **options)


@pytest.mark.parametrize("name", CASES)
def test_odd_arguments_of_functions(name):
    (x, *rest), options = CASES[name][-1]
    for args, named in with_odd_arguments(tuple(rest), options):
        if name == "one_hot" and 2**70 in args:
            continue
        with contextlib.suppress(BadInput):
            getattr(F, name)(x if x.dtype.kind != "f" else Tensor(x), *args, **named)


@pytest.mark.parametrize("name", sorted({name for name, _ in RULES} | {"Yogi"}))
def test_odd_options_of_optimizers(name):
    signature = inspect.signature(getattr(optim, name))
    defaults = {key: parameter.default for key, parameter in signature.parameters.items() if key != "params"}
    for _, options in with_odd_arguments((), defaults):
        p = nn.Parameter(np.ones(3))
        try:
            optimizer = getattr(optim, name)([p], **options)
        except BadInput:
            continue
        p.grad = np.ones(3)
        optimizer.step()
        assert np.isfinite(p.numpy()).all(), options


@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(SCHEDULES)])
def test_odd_options_of_schedules(name, options):
    for _, odd in with_odd_arguments((), options):
        optimizer = optim.SGD([nn.Parameter(np.ones(3))], lr=0.5, momentum=0.9)
        try:
            schedule = getattr(optim.lr_scheduler, name)(optimizer, **odd)
            for _ in range(3):
                schedule.step()
        except BadInput:
            continue
        assert np.isfinite(optimizer.param_groups[0]["lr"]), odd


GRADIENTS = {
    "nan": lambda g: with_one(g, np.nan),
    "inf": lambda g: with_one(g, np.inf),
    "huge": lambda g: g * 1e100,
    "tiny": lambda g: g * 1e-300,
    "zeros": np.zeros_like,
    "strided": strided,
    "read-only": read_only,
    "float32": lambda g: g.astype(np.float32),
}


@pytest.mark.parametrize("kind", GRADIENTS)
@pytest.mark.parametrize("name", sorted({name for name, _ in RULES}))
def test_odd_gradients(name, kind):
    start, g = np.linspace(-1, 1, 8), np.random.default_rng(0).standard_normal(8)
    mine, other = nn.Parameter(start), torch.nn.Parameter(torch.tensor(start))
    optimizers = getattr(optim, name)([mine], lr=0.1), getattr(torch.optim, name)([other], lr=0.1)
    for _ in range(3):
        given = GRADIENTS[kind](g)
        mine.grad, other.grad = given, torch.tensor(np.ascontiguousarray(given, np.float64))
        for optimizer in optimizers:
            optimizer.step()
    expected = other.detach().numpy()
    assert not (np.isnan(mine.numpy()) & ~np.isnan(expected)).any()
    known = np.isfinite(expected)
    np.testing.assert_allclose(mine.numpy()[known], expected[known], rtol=1e-6)


@pytest.mark.parametrize("name", sorted({name for name, _ in RULES} | {"Yogi"}))
def test_parameters_of_odd_sizes(name):
    members = [nn.Parameter(np.ones(shape, np.float32)) for shape in ((), (0,), (1,), (2, 0, 3), (2, 2))]
    optimizer = getattr(optim, name)(members, lr=0.1)
    for p in members:
        p.grad = np.ones(p.shape, np.float32)
    optimizer.step()
    assert members[0].item() == members[2].item() == members[4].numpy()[1, 1] < 1


GRADIENTS_OUTDONE = {  # (name, kind): why the gradient is another than PyTorch's; docs/engine.md says the same
    ("max_pool2d", "nan"): "of several nan in a window the first has the gradient, as of equal numbers",
    ("MaxPool2d", "nan"): "likewise",
    ("binary_cross_entropy", "tiny"): "the targets' gradient is the bounded loss's",
    ("binary_cross_entropy", "zeros"): "likewise",
}
ODD_NUMBERS = {kind: NUMBERS[kind] for kind in (*FLOATING, "zeros")} | {"-huge": lambda x: x * -1e150}


def same_gradients(got, expected, tolerance) -> str:
    """What is wrong with gradients, or nothing: where PyTorch's is nan, a number is as good."""
    for i, (mine, other) in enumerate(zip(got, expected, strict=True)):
        known = ~np.isnan(other)
        if not np.allclose(mine[known], other[known], rtol=tolerance, atol=1e-10, equal_nan=True):
            return f"gradient {i} is {mine.ravel()[:5]}, not {other.ravel()[:5]}"
    return ""


def compare_gradients(name, ours, other, x, tolerance):
    """`ours` and `other` make an output, and what it is differentiated by, of an input."""
    for kind, change in ODD_NUMBERS.items():
        if (name, kind) in GRADIENTS_OUTDONE:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                z, leaves = other(change(x))
                options = {"allow_unused": True, "materialize_grads": True}
                expected = torch.autograd.grad(z.sum(), leaves, **options) if z.requires_grad else []
            except (RuntimeError, ValueError):
                continue  # refused
        try:
            y, mine = ours(change(x))
            got = grad(y.sum(), mine, allow_unused=True) if expected else []
        except BadInput:
            continue
        wrong = same_gradients([g.numpy() for g in got], [g.numpy() for g in expected], tolerance)
        assert not wrong, f"{kind}: {wrong}"


WITH_GRADIENTS = [
    (name, args, options)
    for name, cases in CASES.items()
    if name not in ("dropout", "batch_norm")  # draws; writes into its arguments
    for args, options in cases
    if isinstance(args[0], np.ndarray) and args[0].dtype.kind == "f" and args[0].ndim
]


@pytest.mark.parametrize(("name", "args", "options"), WITH_GRADIENTS, ids=lambda value: str(value)[:20])
def test_gradients_of_functions_at_odd_numbers(name, args, options):
    compare_gradients(
        name,
        lambda x: functional_ours(name, [x, *args[1:]], options),
        lambda x: theirs(name, [x, *args[1:]], options),
        args[0],
        1e-6 if name in FLOAT32_CONSTANTS else 1e-8,
    )


@pytest.mark.parametrize(("name", "args", "options", "shape"), LAYERS, ids=lambda value: str(value))
def test_gradients_of_layers_at_odd_numbers(name, args, options, shape):
    layer, other = twins(name, args, options, np.float64)

    def ours(x):
        t = Tensor(x, requires_grad=True)
        return layer(t), [t, *layer.parameters()]

    def reference(x):
        t = torch.tensor(x, requires_grad=True)
        return other(t), [t, *other.parameters()]

    compare_gradients(name, ours, reference, np.random.default_rng(0).standard_normal(shape), 1e-6)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_gradients_of_recurrent_layers_at_odd_numbers(name):
    layer, other = twins(name, (3, 2), {}, np.float64)

    def ours(x):
        t = Tensor(x, requires_grad=True)
        return layer(t)[0], [t, *layer.parameters()]

    def reference(x):
        t = torch.tensor(x, requires_grad=True)
        return other(t)[0], [t, *other.parameters()]

    compare_gradients(name, ours, reference, np.random.default_rng(0).standard_normal((4, 2, 3)), 1e-8)


def test_how_large_the_table_is():
    assert len(TABLE) >= 95
    assert all(isinstance(Tensor(x).size, int) for *_, x in TABLE)
