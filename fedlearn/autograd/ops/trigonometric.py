"""Circular and hyperbolic functions, and their inverses. Angles are in radians."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.graph import Op
from fedlearn.autograd.node import raw
from fedlearn.autograd.ops.elementwise import sqrt, square
from fedlearn.autograd.ops.select import masked, where
from fedlearn.autograd.ops.sigmoid import sigmoid_slope


def _over_square(x: Any, a: Any, b: Any) -> Any:
    """x / (a^2 + b^2); 0 where both are 0."""
    length = square(a) + square(b)
    there = raw(length) != 0
    return masked(there, x / where(there, length, 1.0))


def _tanh_slope(x: np.ndarray) -> Any:
    return 4 * sigmoid_slope.forward(2 * x)  # 1 - tanh^2 loses its digits as that nears 1


sin: Op = Op("sin", np.sin, lambda g, y, x: g * cos(x))
cos: Op = Op("cos", np.cos, lambda g, y, x: -g * sin(x))
tan = Op("tan", np.tan, lambda g, y, x: g * (1 + square(y)))
asin = Op("asin", np.arcsin, lambda g, y, x: g / sqrt((1 - x) * (1 + x)))
acos = Op("acos", np.arccos, lambda g, y, x: -g / sqrt((1 - x) * (1 + x)))
atan = Op("atan", np.arctan, lambda g, y, x: g / (1 + square(x)))
atan2 = Op(
    "atan2",
    np.arctan2,
    lambda g, y, a, b: g * _over_square(b, a, b),
    lambda g, y, a, b: -g * _over_square(a, a, b),
)

sinh: Op = Op("sinh", np.sinh, lambda g, y, x: g * cosh(x))
cosh: Op = Op("cosh", np.cosh, lambda g, y, x: g * sinh(x))
tanh = Op("tanh", np.tanh, lambda g, y, x: g * tanh_slope.directly(x))
tanh_slope: Op = Op(
    "tanh_slope",
    _tanh_slope,
    lambda g, y, x: g * (y * (-2 * tanh.directly(x))),
    floats=True,
)
"""1 / cosh^2, the derivative of tanh."""
asinh = Op("asinh", np.arcsinh, lambda g, y, x: g / sqrt(1 + square(x)))
acosh = Op("acosh", np.arccosh, lambda g, y, x: g / sqrt((x - 1) * (x + 1)))
atanh = Op("atanh", np.arctanh, lambda g, y, x: g / ((1 - x) * (1 + x)))
