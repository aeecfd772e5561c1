"""The logistic function and its kin, and the normal distribution's: to full precision at both ends.

Each is computed from exp(-|x|), which is small where the function is near its limits. So sigmoid(-80) is 1.8e-35 in
float32 and sigmoid's slope at 20 is 2.1e-9, where a way through tanh(x / 2), or s (1 - s), gives 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fedlearn.autograd.face import function
from fedlearn.autograd.graph import Op
from fedlearn.autograd.ops.elementwise import exp, square


def decay(x: np.ndarray) -> Any:
    """exp(-|x|)."""
    return np.exp(-np.abs(x))


def _sigmoid(x: np.ndarray) -> Any:
    z = decay(x)
    return np.where(x < 0, z, 1) / (1 + z)


def _sigmoid_slope(x: np.ndarray) -> Any:
    z = decay(x)
    return z / np.square(1 + z)


sigmoid = Op("sigmoid", _sigmoid, lambda g, y, x: g * sigmoid_slope(x), floats=True)
sigmoid_slope: Op = Op(
    "sigmoid_slope",
    _sigmoid_slope,
    lambda g, y, x: g * (y * (sigmoid(-x) - sigmoid(x))),
    floats=True,
)
"""sigmoid(x) sigmoid(-x), the derivative of sigmoid."""

softplus = Op(
    "softplus",
    lambda x: np.maximum(x, 0) + np.log1p(decay(x)),
    lambda g, y, x: g * sigmoid(x),
    floats=True,
)


@function
def logsigmoid(x: Any) -> Any:
    """log(sigmoid(x))."""
    return -softplus(-x)


@function
def silu(x: Any) -> Any:
    """x sigmoid(x) (Elfwing et al. 2018), also called swish."""
    return x * sigmoid(x)


def _erf(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return np.asarray(erf(x), x.dtype)


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return np.asarray(ndtr(x), x.dtype)


erf = Op("erf", _erf, lambda g, y, x: g * (2 / math.sqrt(math.pi) * exp(-square(x))), floats=True)
normal_cdf = Op(
    "normal_cdf", _normal_cdf, lambda g, y, x: g * (exp(-0.5 * square(x)) / math.sqrt(2 * math.pi)), floats=True
)
"""The probability that a standard normal number is below x: erfc(-x / sqrt 2) / 2."""


@function
def gelu(x: Any, approximate: str = "none") -> Any:
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016); or its form with tanh."""
    if approximate == "none":
        return x * normal_cdf(x)
    return x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * square(x)))


logaddexp = Op(
    "logaddexp",
    np.logaddexp,
    lambda g, y, a, b: g * sigmoid(a - b),
    lambda g, y, a, b: g * sigmoid(b - a),
)
