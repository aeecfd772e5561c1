"""NumPy's functions called with Tensors: recorded where there is an op for them, else refused or plain.

np.exp(x), np.concatenate([x, y]) and other functions that have an op are that op. Every other function gets the plain
arrays of its Tensors and returns plain arrays; while a Tensor among them wants a gradient, it raises `GraphError`
instead, unless its result has no gradient anyway (shapes, comparisons, places).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fedlearn.autograd import ops
from fedlearn.autograd.graph import OPS
from fedlearn.autograd.mode import mode
from fedlearn.autograd.node import Node, raw
from fedlearn.errors import BadInput, GraphError

UFUNCS = {op.forward: op for op in OPS.values() if isinstance(op.forward, np.ufunc)}
UFUNCS |= {np.power: ops.power, np.remainder: ops.remainder, np.floor_divide: ops.floor_divide}

WITHOUT_GRADIENT: set[Any] = {
    np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.array_equal,
    np.array_equiv, np.allclose, np.isclose, np.argmax, np.argmin, np.argsort, np.argwhere, np.nonzero,
    np.flatnonzero, np.count_nonzero, np.any, np.all, np.searchsorted, np.digitize, np.result_type, np.can_cast,
    np.may_share_memory, np.shares_memory, np.array2string, np.array_repr, np.array_str, np.isneginf, np.isposinf,
    np.iscomplexobj, np.isrealobj, np.histogram, np.bincount, np.save, np.savetxt, np.savez, np.broadcast_shapes,
}  # fmt: skip


def recorded(tensor: Any) -> dict[Any, Callable[..., Any]]:
    """NumPy's functions that record, and what they are here: methods of `tensor`, or functions of ops."""
    reductions = "sum prod mean max min amax amin"
    methods = "round reshape ravel swapaxes moveaxis squeeze flip diff diagonal trace"
    functions = "concatenate stack hstack vstack where roll repeat tile tril triu diag dot outer tensordot einsum"
    table: dict[Any, Callable[..., Any]] = {getattr(np, name): getattr(tensor, name) for name in methods.split()}
    table |= {getattr(np, name): getattr(ops, name) for name in functions.split()}
    table |= {getattr(np, name): _reduction(getattr(tensor, name)) for name in reductions.split()}
    return table | {
        np.transpose: lambda x, axes=None: x.permute(axes) if axes is not None else x.T,
        np.expand_dims: lambda x, axis: ops.reshape(x, shape=np.expand_dims(raw(x), axis).shape),
        np.broadcast_to: lambda x, shape: ops.broadcast_to(x, shape=shape),
        np.var: lambda x, axis=None, ddof=0, keepdims=False: ops.var(x, axis=axis, correction=ddof, keepdims=keepdims),
        np.std: lambda x, axis=None, ddof=0, keepdims=False: ops.std(x, axis=axis, correction=ddof, keepdims=keepdims),
        np.clip: lambda x, a_min=None, a_max=None, *, min=None, max=None: tensor.clip(
            x, a_min if min is None else min, a_max if max is None else max
        ),
        np.cumsum: lambda x, axis=None: ops.cumsum(*_lined_up(x, axis)),
        np.cumprod: lambda x, axis=None: ops.cumprod(*_lined_up(x, axis)),
        np.sort: lambda x, axis=-1: ops.sort(*_lined_up(x, axis)),
        np.copy: ops.clone,
        np.linalg.norm: _norm,
    }


def _reduction(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method with NumPy's order of arguments: dtype and out follow the axis, so that only the axis has a place."""
    return lambda x, axis=None, **named: method(x, axis=axis, **named)


def _lined_up(x: Any, axis: int | None) -> tuple[Any, int]:
    """All numbers in a row for the axis None, as NumPy reads it; and the axis."""
    return (ops.reshape(x, shape=(x.size,)), 0) if axis is None else (x, axis)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """`ops.norm` where NumPy means the same: of a vector, or Frobenius' norm of a matrix."""
    axes = np.ndim(raw(x)) if axis is None else np.size(axis)
    if (axes != 1 and ord not in (None, "fro")) or (ord == "fro" and axes != 2):
        raise TypeError("a matrix norm by singular values or by sums of columns")
    return ops.norm(x, ord, axis, keepdims)


def call_ufunc(ufunc: np.ufunc, way: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`Tensor.__array_ufunc__`."""
    op = UFUNCS.get(ufunc)
    if op is not None and way == "__call__" and not kwargs:
        return op(*inputs)
    if way == "__call__":
        return _plain(ufunc, inputs, kwargs, _gives_bools(ufunc))
    return _plain(getattr(ufunc, way), inputs, kwargs, _gives_bools(ufunc), f"{_name(ufunc)}.{way}")


def call_function(
    table: dict[Any, Callable[..., Any]], function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """`Tensor.__array_function__`."""
    ours, name = table.get(function), None
    if ours is not None:
        name = f"{_name(function)} with these arguments"
        try:
            return ours(*args, **kwargs)
        except (TypeError, AttributeError):
            pass  # arguments that only NumPy's has, as dtype
        except BadInput as error:
            if not isinstance(error.__cause__, TypeError | AttributeError):
                raise
    return _plain(function, args, kwargs, function in WITHOUT_GRADIENT, name)


def _gives_bools(ufunc: np.ufunc) -> bool:
    return all(kinds.endswith("?") for kinds in ufunc.types if "O" not in kinds)


def _plain(function: Any, args: Any, kwargs: Any, harmless: bool, name: str | None = None) -> Any:
    """NumPy's own result, on plain arrays."""
    if not harmless and mode.recording and (_wants_gradient(args) or _wants_gradient(kwargs)):
        raise GraphError(
            f"{name or _name(function)} does not record here, and a tensor among its arguments wants a gradient: "
            "use an op of fedlearn.autograd.ops, or detach() the tensor"
        )
    outs = kwargs.get("out")
    if any(isinstance(out, Node) for out in (outs if isinstance(outs, tuple) else (outs,))):
        raise BadInput("NumPy cannot write into a Tensor: give out= an array, or assign the result to tensor[...]")
    return function(*_arrays(args), **_arrays(kwargs))


def _wants_gradient(value: Any) -> bool:
    if isinstance(value, Node):
        return value._wanted
    if isinstance(value, dict):
        value = value.values()
    return isinstance(value, list | tuple | type({}.values())) and any(_wants_gradient(part) for part in value)


def _arrays(value: Any) -> Any:
    """The same arguments with read-only arrays in the place of Tensors."""
    if isinstance(value, Node):
        view = raw(value).view()
        view.flags.writeable = False
        return view
    if isinstance(value, dict):
        return {name: _arrays(part) for name, part in value.items()}
    return type(value)(_arrays(part) for part in value) if type(value) in (list, tuple) else value


def _name(function: Any) -> str:
    """The function's name as users write it: np.linalg.inv, or the bare name if it is not NumPy's."""
    name = getattr(function, "__name__", str(function))
    module = "numpy" if getattr(np, name, None) is function else getattr(function, "__module__", None) or ""
    return f"np{module.removeprefix('numpy')}.{name}" if module.split(".")[0] == "numpy" else name
