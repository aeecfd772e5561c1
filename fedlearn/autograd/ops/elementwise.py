"""Element by element: arithmetic, powers, exponentials and logarithms, rounding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fedlearn.autograd.arrays import refuse_other_than_numbers
from fedlearn.autograd.graph import Op
from fedlearn.autograd.node import raw
from fedlearn.autograd.ops.select import masked, where
from fedlearn.errors import BadInput

# In every vjp: g is the gradient of the result, y the result, then the inputs, then the parameters.

add = Op("add", np.add, lambda g, y, a, b: g, lambda g, y, a, b: g, linear=True)
sub = Op("sub", np.subtract, lambda g, y, a, b: g, lambda g, y, a, b: -g, linear=True)
mul = Op("mul", np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)
div = Op("div", np.divide, lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)
neg = Op("neg", np.negative, lambda g, y, x: -g, linear=True)
clone = Op("clone", np.positive, lambda g, y, x: g, linear=True)
square = Op("square", np.square, lambda g, y, x: g * (2 * x))


def _whole(ufunc: np.ufunc) -> Any:
    """A division that whole numbers by 0 fail, where NumPy's gives 0."""

    def divided(a: Any, b: Any) -> Any:
        result = ufunc(a, b)
        if result.dtype.kind != "f" and not np.all(b):
            raise BadInput(f"{ufunc.__name__} of whole numbers by 0: only floats have inf and nan")
        return result

    return divided


remainder = Op(
    "remainder",
    _whole(np.remainder),
    lambda g, y, a, b: g,
    lambda g, y, a, b: -g * np.floor_divide(raw(a), raw(b)),
)


def _power(a: Any, b: Any) -> Any:
    """NumPy is as quick at squares as at products; a cube takes it thirty times as long, so it is made of products."""
    cube = type(b) in (int, float) and b == 3 and isinstance(a, np.ndarray) and a.dtype.kind == "f"
    return a * a * a if cube else np.power(a, b)


def _power_vjp_base(g: Any, y: Any, a: Any, b: Any) -> Any:
    """b a^(b - 1); 0 at b = 0, also where a is 0 or infinite."""
    if not np.ndim(raw(b)):
        return g * (b * a ** (b - 1)) if b != 0 else masked(False, g)
    constant = raw(b) == 0
    return masked(~constant, g * (b * a ** (b - ~constant)))


def _power_vjp_exponent(g: Any, y: Any, a: Any, b: Any) -> Any:
    """y log a; 0 at a = 0 for b >= 0, where y log a is 0 times -inf."""
    zero = raw(a) == 0
    return masked(~(zero & (raw(b) >= 0)), g * y * log(where(zero & (raw(b) >= 0), 1.0, a)))


power = Op("pow", _power, _power_vjp_base, _power_vjp_exponent)

exp = Op("exp", np.exp, lambda g, y, x: g * y)
exp2 = Op("exp2", np.exp2, lambda g, y, x: g * (y * math.log(2)))
expm1 = Op("expm1", np.expm1, lambda g, y, x: g * exp(x))
log: Op = Op("log", np.log, lambda g, y, x: g / x)
log2 = Op("log2", np.log2, lambda g, y, x: g / (x * math.log(2)))
log10 = Op("log10", np.log10, lambda g, y, x: g / (x * math.log(10)))
log1p = Op("log1p", np.log1p, lambda g, y, x: g / (1 + x))
sqrt = Op("sqrt", np.sqrt, lambda g, y, x: g / (2 * y))

abs_ = Op("abs", np.abs, lambda g, y, x: where(raw(x) < 0, -g, masked(raw(x) > 0, g)))

# Steps: flat wherever they have a slope.
_flat = lambda g, y, *inputs: masked(False, g)  # noqa: E731
sign = Op("sign", np.sign, _flat)
floor = Op("floor", np.floor, _flat)
ceil = Op("ceil", np.ceil, _flat)
floor_divide = Op("floor_divide", _whole(np.floor_divide), _flat, _flat)
round_ = Op("round", lambda x, decimals=0: np.round(x, decimals), lambda g, y, x, decimals=0: masked(False, g))


def _astype(x: np.ndarray, dtype: Any) -> np.ndarray:
    refuse_other_than_numbers(np.empty(0, dtype))
    return x.astype(dtype)


astype = Op("astype", _astype, lambda g, y, x, dtype: g.astype(x.dtype), linear=True, as_is=True)
