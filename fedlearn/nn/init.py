"""Initial values, under PyTorch's names: each fills a parameter in place and returns it.

Random ones draw from `rng`; None draws from fresh entropy, as PyTorch does without a seed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fedlearn.autograd.tensor import Tensor
from fedlearn.checked import generator
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn.functional.arguments import real
from fedlearn.nn.parameter import Parameter

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
GAINS = {"linear": 1.0, **dict.fromkeys(CONVOLUTIONS, 1.0), "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2)}
GAINS["selu"] = 3 / 4


class _Blank(threading.local):
    wanted = False


_blank = _Blank()


@contextmanager
def left_blank() -> Iterator[None]:
    """Within it parameters get no random numbers of fresh entropy: for a model whose weights will be loaded.

    Numbers that a generator was given for are drawn as ever, since what else it draws may matter.
    """
    before, _blank.wanted = _blank.wanted, True
    try:
        yield
    finally:
        _blank.wanted = before


def _left_blank(tensor: Tensor, rng: np.random.Generator | None) -> bool:
    return _blank.wanted and rng is None and isinstance(tensor, Parameter)


def _filled(tensor: Tensor, kinds: str = "f") -> Tensor:
    """The tensor to fill; raises `BadInput` for anything but a tensor of one of NumPy's `kinds`."""
    if not isinstance(tensor, Tensor) or tensor.dtype.kind not in kinds:
        raise BadInput(f"{tensor!r:.60} cannot be filled: give a parameter, or a floating-point Tensor")
    return tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, rng: np.random.Generator | None = None) -> Tensor:
    """Evenly from [a, b)."""
    a, b = real(a, "a"), real(b, "b")
    if not a <= b or math.isinf(b - a):
        raise BadInput(f"uniform_ from {a} to {b}: the first is the smaller, and their distance a float")
    if not _left_blank(_filled(tensor), rng):
        tensor[...] = generator(rng).uniform(a, b, tensor.shape)
    return tensor


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, rng: np.random.Generator | None = None) -> Tensor:
    """From the normal distribution of this mean and standard deviation."""
    mean, std = real(mean, "mean"), real(std, "std", 0)
    if not _left_blank(_filled(tensor), rng):
        tensor[...] = generator(rng).normal(mean, std, tensor.shape)
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    _filled(tensor, "fiub")[...] = real(val, "val", finite=False)
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, rng: np.random.Generator | None = None) -> Tensor:
    """Glorot and Bengio 2010: the variance is 2 / (fan_in + fan_out) times gain squared."""
    bound = real(gain, "gain", 0) * math.sqrt(6 / max(1, sum(fans(tensor))))
    return uniform_(tensor, -bound, bound, rng)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, rng: np.random.Generator | None = None) -> Tensor:
    return normal_(tensor, 0.0, real(gain, "gain", 0) * math.sqrt(2 / max(1, sum(fans(tensor)))), rng)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: np.random.Generator | None = None,
) -> Tensor:
    """He et al. 2015: the variance is gain squared over the fan; `a` is the slope of a leaky ReLU."""
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, rng)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: np.random.Generator | None = None,
) -> Tensor:
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), rng)


def orthogonal_(tensor: Tensor, gain: float = 1.0, rng: np.random.Generator | None = None) -> Tensor:
    """Saxe et al. 2013: rows (or columns, if they are fewer) orthonormal, times gain."""
    gain = real(gain, "gain")
    if _filled(tensor).ndim < 2:
        raise ShapeError(f"a tensor of shape {tensor.shape} has no rows to make orthogonal: give one of 2 axes or more")
    if not tensor.size or _left_blank(tensor, rng):
        return tensor
    rows, columns = len(tensor), tensor.size // len(tensor)
    q, r = np.linalg.qr(generator(rng).standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))
    tensor[...] = gain * (q if rows >= columns else q.T).reshape(tensor.shape)
    return tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a nonlinearity wants its inputs' standard deviation raised; `param`: leaky slope (0.01)."""
    if isinstance(nonlinearity, str) and nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else real(param, "the slope", -1e150, 1e150)) ** 2))
    if not isinstance(nonlinearity, str) or nonlinearity not in GAINS:
        raise BadInput(f"no gain known for {nonlinearity!r}: choose one of leaky_relu, {', '.join(GAINS)}")
    return GAINS[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, *kernel): how many numbers meet in one output, or leave one input."""
    if _filled(tensor).ndim < 2:
        raise ShapeError(f"a tensor of shape {tensor.shape} has no fans: give one of at least 2 axes (out, in, ...)")
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if not isinstance(mode, str) or mode not in ("fan_in", "fan_out"):
        raise BadInput(f"unknown mode {mode!r}: choose fan_in or fan_out")
    return calculate_gain(nonlinearity, a) / math.sqrt(max(1, fans(tensor)[mode == "fan_out"]))
