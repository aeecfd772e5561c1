"""Circular and hyperbolic functions, and their inverses. Angles are in radians."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.graph import Op
from fedlearn.autograd.node import raw
from fedlearn.autograd.ops.elementwise import sqrt, square
from fedlearn.autograd.ops.select import masked, where


def _over_square(x: Any, a: Any, b: Any) -> Any:
    """x / (a^2 + b^2); 0 where both are 0."""
    length = square(a) + square(b)
    there = raw(length) != 0
    return masked(there, x / where(there, length, 1.0))


def _tanh_slope(x: np.ndarray) -> Any:
    """4 times the slope of a sigmoid at 2 x: 1 - tanh^2 loses its digits as that nears 1."""
    z = np.exp(-2 * np.abs(x))
    return 4 * (z / np.square(1 + z))


sin: Op = Op("sin", np.sin, lambda g, y, x: g * cos(x))
cos: Op = Op("cos", np.cos, lambda g, y, x: -g * sin(x))
tan = Op("tan", np.tan, lambda g, y, x: g * (1 + square(y)))
asin = Op("asin", np.arcsin, lambda g, y, x: g * asin_slope.directly(x))
acos = Op("acos", np.arccos, lambda g, y, x: -g * asin_slope.directly(x))
asin_slope: Op = Op(
    "asin_slope",
    lambda x: 1 / np.sqrt((1 - x) * (1 + x)),
    lambda g, y, x: g * (x * (y * y * y)),
    floats=True,
)
"""1 / sqrt(1 - x^2), the derivative of asin. Its own is given by its value, so that at -1 and 1 all are infinite."""
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
acosh = Op("acosh", np.arccosh, lambda g, y, x: g * acosh_slope.directly(x))
acosh_slope: Op = Op(
    "acosh_slope",
    lambda x: 1 / np.sqrt((x - 1) * (x + 1)),
    lambda g, y, x: -g * (x * (y * y * y)),
    floats=True,
)
"""1 / sqrt(x^2 - 1), the derivative of acosh."""
atanh = Op("atanh", np.arctanh, lambda g, y, x: g * atanh_slope.directly(x))
atanh_slope: Op = Op(
    "atanh_slope",
    lambda x: 1 / ((1 - x) * (1 + x)),
    lambda g, y, x: g * (2 * x * (y * y)),
    floats=True,
)
"""1 / (1 - x^2), the derivative of atanh."""
