"""Functions of each number alone, and softmax: what stands between layers. Elementwise ones stack by nature."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fedlearn.autograd import ops
from fedlearn.autograd.node import raw
from fedlearn.errors import BadInput
from fedlearn.nn.functional.arguments import axis_of, floats, has_shape, numbers, real


def sigmoid(input: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return ops.sigmoid(floats(input, "sigmoid's input"))


def tanh(input: Any) -> Any:
    """The hyperbolic tangent."""
    return ops.tanh(floats(input, "tanh's input"))


def relu(input: Any) -> Any:
    """x where it is above 0, else 0."""
    return ops.relu(numbers(input, "relu's input"))


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """x where it is above 0, else negative_slope x."""
    return ops.leaky_relu(floats(input, "leaky_relu's input"), slope=real(negative_slope, "negative_slope"))


def gelu(input: Any, approximate: str = "none") -> Any:
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016); "tanh": their approximation of it."""
    x = floats(input, "gelu's input")
    if not isinstance(approximate, str):
        raise BadInput(f"gelu's approximate is {approximate!r:.60}: choose none or tanh")
    if approximate == "none":
        return ops.gelu(x)
    if approximate != "tanh":
        raise BadInput(f"gelu's approximate is {approximate!r:.60}: choose none or tanh")
    return x * (0.5 * ops.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))) + 0.5)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta x)) / beta, and x itself where beta x exceeds the threshold."""
    x = floats(input, "softplus's input")
    if real(beta, "softplus's beta") == 0:
        raise BadInput("softplus's beta is 0, which it divides by: give another number")
    scaled = x * beta
    return ops.where(raw(scaled) > real(threshold, "softplus's threshold"), x, ops.softplus(scaled) / beta)


def logsigmoid(input: Any) -> Any:
    """log(1 / (1 + exp(-x))), never overflowing."""
    return -ops.softplus(-floats(input, "logsigmoid's input"))


def silu(input: Any) -> Any:
    """x sigmoid(x), also called swish (Elfwing et al. 2018)."""
    x = floats(input, "silu's input")
    return x * ops.sigmoid(x)


def mish(input: Any) -> Any:
    """x tanh(softplus(x)) (Misra 2020)."""
    x = floats(input, "mish's input")
    return x * ops.tanh(ops.softplus(x))


def elu(input: Any, alpha: float = 1.0) -> Any:
    """x where it is above 0, else alpha (exp(x) - 1) (Clevert et al. 2016)."""
    return _elu(floats(input, "elu's input"), real(alpha, "elu's alpha"))


def celu(input: Any, alpha: float = 1.0) -> Any:
    """x where it is above 0, else alpha (exp(x / alpha) - 1) (Barron 2017)."""
    if real(alpha, "celu's alpha") == 0:
        raise BadInput("celu's alpha is 0, which it divides by: give another number")
    return _elu(floats(input, "celu's input"), alpha, alpha)


def selu(input: Any) -> Any:
    """elu with alpha 1.6733 times 1.0507, which keeps mean 0 and variance 1 (Klambauer et al. 2017)."""
    return 1.0507009873554805 * _elu(floats(input, "selu's input"), 1.6732632423543772)


def _elu(x: Any, alpha: float, width: float = 1.0) -> Any:
    below = raw(x) <= 0
    return ops.where(below, alpha * ops.expm1(ops.where(below, x, 0.0) / width), x)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """x held between the two; no gradient beyond them, nor at them."""
    x = floats(input, "hardtanh's input")
    low, high = real(min_val, "min_val"), real(max_val, "max_val")
    if low > high:
        raise BadInput(f"hardtanh from min_val {low} to max_val {high}: the first is the smaller")
    values = raw(x)
    return ops.where((values > low) & (values < high), x, np.clip(values, low, high))


def relu6(input: Any) -> Any:
    """x held between 0 and 6."""
    return hardtanh(input, 0.0, 6.0)


def hardsigmoid(input: Any) -> Any:
    """x / 6 + 1/2 held between 0 and 1."""
    return relu6(floats(input, "hardsigmoid's input") + 3) / 6


def hardswish(input: Any) -> Any:
    """x hardsigmoid(x) (Howard et al. 2019)."""
    x = floats(input, "hardswish's input")
    values = raw(x)
    between = (values > -3) & (values < 3)
    middle = ops.where(between, x, 0.0)  # so that what is infinite stays out of the product
    return ops.where(between, middle * ((middle + 3) / 6), ops.where(values <= -3, 0.0, x))


def softsign(input: Any) -> Any:
    """x / (1 + |x|)."""
    x = floats(input, "softsign's input")
    return x / (1 + ops.abs_(x))


def tanhshrink(input: Any) -> Any:
    """x - tanh(x)."""
    x = floats(input, "tanhshrink's input")
    return x - ops.tanh(x)


def prelu(input: Any, weight: Any) -> Any:
    """x where it is above 0, else weight x; weight (1,), or (C,) for the channels of (N, C, ...) (He et al. 2015)."""
    x, slope = floats(input, "prelu's input"), floats(weight, "prelu's weight")
    if slope.shape in ((), (1,)):
        slope = ops.reshape(slope, shape=())
    else:
        has_shape(slope, x.shape[1:2], "prelu's weight, one number or one a channel,")
        slope = ops.reshape(slope, shape=(-1, *(1,) * (x.ndim - 2)))
    above = raw(x) > 0
    return ops.where(above, x, slope * ops.where(above, 0.0, x))


def softmax(input: Any, dim: int | None = None) -> Any:
    """exp(x) / sum(exp(x)) along `dim`; None: the axis 0 of 1 or 3 axes, else 1, as PyTorch's."""
    x = floats(input, "softmax's input")
    axis = _softmax_axis(x, dim, "softmax")
    return ops.softmax(x, axis=axis) if x.ndim and x.shape[axis] else _one_of_nothing(x, 1.0)


def log_softmax(input: Any, dim: int | None = None) -> Any:
    """log(softmax(x)) along `dim`; None as in `softmax`."""
    x = floats(input, "log_softmax's input")
    axis = _softmax_axis(x, dim, "log_softmax")
    return ops.log_softmax(x, axis=axis) if x.ndim and x.shape[axis] else _one_of_nothing(x, 0.0)


def softmin(input: Any, dim: int | None = None) -> Any:
    """softmax(-x) along `dim`."""
    return softmax(-floats(input, "softmin's input"), dim)


def _softmax_axis(x: Any, dim: int | None, name: str) -> int:
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1
    return axis_of(x, dim, name)


def _one_of_nothing(x: Any, value: float) -> Any:
    """Over no axis at all every number is alone; along an axis of none there is nothing to do."""
    return ops.where(True, value, x) if x.size else x * 1
