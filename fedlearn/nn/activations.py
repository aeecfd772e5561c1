"""Activations as modules, for use in a Sequential."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.nn import functional as F
from fedlearn.nn.functional.arguments import real, shaped, whole
from fedlearn.nn.module import Module
from fedlearn.nn.parameter import Parameter


class Elementwise(Module):
    """An activation that takes each number by itself, and so under a leading axis of clients too."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.stackable = cls.__dict__.get("stackable", True)


class Identity(Elementwise):
    """The input as it is."""

    replayable = True

    def forward(self, input: Any) -> Any:
        return input


class Sigmoid(Elementwise):
    """1 / (1 + exp(-x))."""

    replayable = True

    def forward(self, input: Any) -> Any:
        return F.sigmoid(input)


class Tanh(Elementwise):
    """The hyperbolic tangent."""

    replayable = True

    def forward(self, input: Any) -> Any:
        return F.tanh(input)


class ReLU(Elementwise):
    """max(x, 0)."""

    replayable = True

    def forward(self, input: Any) -> Any:
        return F.relu(input)


class ReLU6(Elementwise):
    """min(max(x, 0), 6)."""

    def forward(self, input: Any) -> Any:
        return F.relu6(input)


class LeakyReLU(Elementwise):
    """x above 0, negative_slope x below."""

    replayable = True

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = real(negative_slope, "negative_slope")

    def forward(self, input: Any) -> Any:
        return F.leaky_relu(input, self.negative_slope)


class GELU(Elementwise):
    """Exact, or with approximate="tanh" the approximation by tanh."""

    replayable = True

    def __init__(self, approximate: str = "none"):
        F.gelu(np.zeros(1, np.float32), approximate)
        self.approximate = approximate

    def forward(self, input: Any) -> Any:
        return F.gelu(input, self.approximate)


class SiLU(Elementwise):
    """x sigmoid(x)."""

    replayable = True

    def forward(self, input: Any) -> Any:
        return F.silu(input)


class Mish(Elementwise):
    """x tanh(softplus(x))."""

    def forward(self, input: Any) -> Any:
        return F.mish(input)


class ELU(Elementwise):
    """x above 0, alpha (exp(x) - 1) below."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = real(alpha, "alpha")

    def forward(self, input: Any) -> Any:
        return F.elu(input, self.alpha)


class CELU(Elementwise):
    """x above 0, alpha (exp(x / alpha) - 1) below."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = real(alpha, "alpha")

    def forward(self, input: Any) -> Any:
        return F.celu(input, self.alpha)


class SELU(Elementwise):
    """ELU times the factors that keep mean 0 and variance 1 (Klambauer et al. 2017)."""

    def forward(self, input: Any) -> Any:
        return F.selu(input)


class Softplus(Elementwise):
    """log(1 + exp(beta x)) / beta; x itself where beta x is above `threshold`."""

    replayable = True

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        self.beta = real(beta, "beta")
        self.threshold = real(threshold, "threshold")

    def forward(self, input: Any) -> Any:
        return F.softplus(input, self.beta, self.threshold)


class LogSigmoid(Elementwise):
    """The logarithm of the sigmoid."""

    def forward(self, input: Any) -> Any:
        return F.logsigmoid(input)


class Hardtanh(Elementwise):
    """x, cut off at `min_val` and `max_val`."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0):
        self.min_val = real(min_val, "min_val")
        self.max_val = real(max_val, "max_val", self.min_val)

    def forward(self, input: Any) -> Any:
        return F.hardtanh(input, self.min_val, self.max_val)


class Hardsigmoid(Elementwise):
    """min(max(x + 3, 0), 6) / 6."""

    def forward(self, input: Any) -> Any:
        return F.hardsigmoid(input)


class Hardswish(Elementwise):
    """x times Hardsigmoid's value."""

    def forward(self, input: Any) -> Any:
        return F.hardswish(input)


class Softsign(Elementwise):
    """x / (1 + |x|)."""

    def forward(self, input: Any) -> Any:
        return F.softsign(input)


class Tanhshrink(Elementwise):
    """x - tanh(x)."""

    def forward(self, input: Any) -> Any:
        return F.tanhshrink(input)


class PReLU(Module):
    """A leaky ReLU whose slope is trained: one, or one for each channel of (N, C, ...)."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25):
        (count,) = shaped((whole(num_parameters, "num_parameters", 1),), "num_parameters")
        self.weight = Parameter(np.full(count, real(init, "init"), np.float32))

    def forward(self, input: Any) -> Any:
        return F.prelu(input, self.weight)


class Softmax(Module):
    """Along `dim`; None: the axis 0 of 1 or 3 axes, else 1, as PyTorch's."""

    def __init__(self, dim: int | None = None):
        self.dim = None if dim is None else whole(dim, "dim")

    def forward(self, input: Any) -> Any:
        return F.softmax(input, self.dim)


class LogSoftmax(Module):
    """Along `dim`; None as in Softmax."""

    def __init__(self, dim: int | None = None):
        self.dim = None if dim is None else whole(dim, "dim")

    def forward(self, input: Any) -> Any:
        return F.log_softmax(input, self.dim)


class Softmin(Module):
    """Along `dim`; None as in Softmax."""

    def __init__(self, dim: int | None = None):
        self.dim = None if dim is None else whole(dim, "dim")

    def forward(self, input: Any) -> Any:
        return F.softmin(input, self.dim)
