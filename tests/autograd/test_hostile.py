"""Every op and function with inputs that nobody draws: each result is PyTorch's, or a typed error in one line.

The table is made of all cases, which are held complete by the table of ops: so a new op is in it by itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fedlearn import Tensor, grad
from fedlearn.autograd.graph import Op
from fedlearn.errors import BadInput, GraphError
from tests.autograd.cases import CASES, RECURRENT, Case
from tests.autograd.composed import COMPOSED
from tests.hostile.inputs import mapped, read_only, unaligned

torch = pytest.importorskip("torch")

from tests.autograd.torch_cases import pairs  # noqa: E402

Arrays = list[np.ndarray]


def strided(x: np.ndarray) -> np.ndarray:
    return np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x


def reversed_(x: np.ndarray) -> np.ndarray:
    return np.flip(np.flip(x).copy())


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "strided": strided,
    "reversed": reversed_,
    "fortran": np.asfortranarray,
    "read-only": read_only,
    "unaligned": unaligned,
    "memory-mapped": mapped,
    "big-endian": lambda x: x.astype(">f8"),
}


def with_special(value: float) -> Callable[[Arrays, np.random.Generator], Arrays]:
    """About a third of all numbers replaced by one."""
    return lambda arrays, rng: [np.where(rng.random(x.shape) < 0.34, value, x) for x in arrays]


SPECIAL = {
    "nan": with_special(np.nan),
    "inf": with_special(np.inf),
    "-inf": with_special(-np.inf),
    "zero": with_special(0.0),
    "-zero": with_special(-0.0),
    "one": with_special(1.0),
    "huge": with_special(1e300),
    "-huge": with_special(-1e300),
    "tiny": with_special(1e-310),
    "far": with_special(-750.0),
    "all equal": lambda arrays, rng: [np.full_like(x, 2.0) for x in arrays],
    "all zero": lambda arrays, rng: [np.zeros_like(x) for x in arrays],
    "all nan": lambda arrays, rng: [np.full_like(x, np.nan) for x in arrays],
}
DRAWN: dict[str, tuple[int, ...]] = {
    "size one": (1,),
    "ones": (1, 1, 1),
    "empty": (0,),
    "no rows": (0, 3),
    "no columns": (3, 0),
    "four axes": (2, 1, 3, 2),
}
RANKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "number": lambda x: np.asarray(x.sum()),
    "axis more": lambda x: x[None],
    "axis less": lambda x: x.reshape(-1),
    "cut": lambda x: np.atleast_1d(x)[:1],
    "cut to none": lambda x: np.atleast_1d(x)[:0],
}
DTYPES = ("f4", "f2", "i8", "i4", "i1", "u1", "?")
NO_NUMBERS = ("O", "U3", "M8[s]", "m8[s]", "c16", "S2", "g")

# (op, kind): why the result is another than PyTorch's; docs/engine.md says the same.
EXPLAINED: dict[tuple[str, str], str] = {
    (
        "linear",
        "axis more",
    ): "weights with a leading axis are a stack of layers, one for each leading axis of the input",
    ("sign", "nan"): "the sign of nan is nan, as in NumPy",
    ("sign", "all nan"): "the sign of nan is nan, as in NumPy",
    ("cumprod", "-huge"): "PyTorch multiplies before it divides, and overflows",
    **{("max_pool", kind): "of several nan in a window the first has the gradient" for kind in ("nan", "all nan")},
    **{
        (name, dtype): "images are made floats first"
        for name in ("conv2d", "max_pool")
        for dtype in ("i8", "i4", "i1", "u1")
    },
    **{("trace", dtype): "a sum: whole numbers are added in int64" for dtype in ("i4", "i1", "u1")},
    ("bce_with_logits", "-inf"): "with a target of -inf, infinite terms of both signs meet in one of the two ways",
}


def hostile(case: Case) -> Iterator[tuple[str, Arrays]]:
    """Inputs of a case by kind, floating point."""
    rng = np.random.default_rng(7)
    ordinary = [np.asarray(x) for x in case.draw(rng, (2, 3))]
    for name, arrange in LAYOUTS.items():
        yield name, [arrange(x) for x in ordinary]
    for name, replace in SPECIAL.items():
        yield name, replace(ordinary, rng)
    for name, shape in DRAWN.items():
        try:
            drawn = case.draw(np.random.default_rng(7), shape)
        except (ValueError, IndexError):
            continue  # the case has a shape of its own
        yield name, drawn
    for name, change in RANKS.items():
        yield name, [change(x) for x in ordinary]
        if len(ordinary) > 1:
            yield f"{name}, first", [change(ordinary[0]), *ordinary[1:]]


def ours(case: Case, arrays: Arrays, wanted: bool = True) -> list[np.ndarray] | BadInput:
    """The result and the gradients of its sum, twice: without and with a graph of their own; or the error."""
    try:
        xs = [Tensor(x, requires_grad=wanted) for x in arrays]
        y = case.run(*xs)
        if not isinstance(y, Tensor) or not y.requires_grad:
            return [np.asarray(y.numpy() if isinstance(y, Tensor) else y)]
        both = [grad(y.sum(), xs, allow_unused=True, create_graph=graph, retain_graph=True) for graph in (False, True)]
        return [t.numpy() for t in (y, *both[0], *both[1])]
    except BadInput as error:
        return error


def theirs(run: Callable[..., Any], arrays: Arrays, wanted: bool = True) -> list[np.ndarray] | Exception:
    try:
        xs = [torch.tensor(np.ascontiguousarray(x).reshape(x.shape).astype(x.dtype.newbyteorder("="))) for x in arrays]
        xs = [x.requires_grad_(wanted) for x in xs]
        y = run(*xs)
        if not y.requires_grad:
            return [y.numpy()]
        found = torch.autograd.grad(y.sum(), xs, allow_unused=True, materialize_grads=True)
        return [t.detach().numpy() for t in (y, *found, *found)]
    except Exception as error:
        return error


def differences(got: Any, want: Any, tolerance: float = 1e-9) -> str:
    """What is wrong with a result, or nothing."""
    if isinstance(got, BadInput):
        return f"refused in several lines: {got}" if "\n" in str(got) or isinstance(got, GraphError) else ""
    if isinstance(want, Exception):
        return ""
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        what = "value" if i == 0 else f"gradient {i - 1}"
        if a.shape != b.shape:
            return f"{what} of shape {a.shape}, not {b.shape}"
        if i and np.isnan(b).any():  # a number is as good where PyTorch's gradient is nan; not the other way round
            a = np.where(np.isnan(b), np.nan, a)
        scale = np.abs(b[np.isfinite(b)]).max(initial=1)
        if not np.allclose(a, b, rtol=tolerance, atol=tolerance * min(scale, 1e3), equal_nan=True):
            return f"{what} {a.ravel()[:6].tolist()}, not {b.ravel()[:6].tolist()}"
    return ""


def unexplained(case: Case, found: dict[str, str]) -> dict[str, str]:
    return {kind: wrong for kind, wrong in found.items() if wrong and (case.name, kind) not in EXPLAINED}


PAIRS = pairs()
each_pair = pytest.mark.parametrize(
    ("case", "oracle"), PAIRS, ids=lambda value: value.name if isinstance(value, Case) else ""
)


@each_pair
def test_values_and_gradients(case: Case, oracle: Callable[..., Any]):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = {kind: theirs(oracle, arrays) for kind, arrays in hostile(case)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = {kind: ours(case, arrays) for kind, arrays in hostile(case)}
    assert len(got) > 20
    assert not unexplained(case, {kind: differences(got[kind], want[kind]) for kind in got})
    assert not any(isinstance(got[kind], BadInput) for kind in (*LAYOUTS, *SPECIAL))


@each_pair
def test_other_precisions(case: Case, oracle: Callable[..., Any]):
    found = {}
    ordinary = case.draw(np.random.default_rng(7), (2, 3))
    for dtype in DTYPES:
        arrays = [(x if dtype[0] == "f" else np.round(3 * x)).astype(dtype) for x in ordinary]
        wanted = dtype[0] == "f"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            want = theirs(oracle, arrays, wanted)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got = ours(case, arrays, wanted)
        found[dtype] = differences(got, want, {"f2": 4e-3}.get(dtype, 2e-5))
        if not found[dtype] and isinstance(got, list) and isinstance(want, list):
            kinds = [x.dtype for x in got], [x.dtype for x in want]
            found[dtype] = f"dtypes {kinds[0]}, not {kinds[1]}" if kinds[0] != kinds[1] else ""
    assert not unexplained(case, found)


@pytest.mark.parametrize("case", [*CASES, *COMPOSED], ids=str)
def test_what_is_no_number_is_refused(case: Case):
    ordinary = case.draw(np.random.default_rng(7), (2, 3))
    for dtype in NO_NUMBERS:
        arrays = [np.zeros(np.shape(x), dtype) for x in ordinary]
        assert isinstance(ours(case, arrays, False), BadInput), dtype
        if len(arrays) == 2:  # as it is, beside a Tensor
            with pytest.raises((BadInput, TypeError)):
                case.run(Tensor(ordinary[0], requires_grad=True), arrays[1])


@pytest.mark.parametrize("case", [*CASES, *COMPOSED], ids=str)
def test_whoever_shows_memory_is_known_to_do_so(case: Case, monkeypatch: pytest.MonkeyPatch):
    plain = Op.__call__

    def looked_at(self: Op, *inputs: Any, **params: Any) -> Any:
        out = plain(self, *inputs, **params)
        for x in inputs:
            if isinstance(x, Tensor) and isinstance(out, Tensor) and np.shares_memory(x._data, out._data):
                assert out._memory is x._memory is not None, self
        return out

    monkeypatch.setattr(Op, "__call__", looked_at)
    case.run(*(Tensor(x) for x in case.draw(np.random.default_rng(7), (2, 3))))


@pytest.mark.parametrize("case", RECURRENT, ids=str)
def test_recurrent_ops_take_any_layout(case: Case):
    ordinary = case.draw(np.random.default_rng(7), (2, 3))
    right = ours(case, ordinary)
    assert isinstance(right, list)
    for arrange in LAYOUTS.values():
        got = ours(case, [arrange(x) for x in ordinary])
        assert not differences(got, right)
