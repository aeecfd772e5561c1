"""Layers that bring their input to mean 0 and variance 1: over a batch, or within each example."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn import functional as F
from fedlearn.nn import init
from fedlearn.nn.functional.arguments import floats, real, shaped, whole
from fedlearn.nn.functional.normalization import normalized
from fedlearn.nn.layers import empty
from fedlearn.nn.module import Module
from fedlearn.nn.parameter import Buffer
from fedlearn.wording import many


class _BatchNorm(Module):
    """The common parts of batch normalisation, whatever axes its inputs have.

    momentum: what share of the running statistics each batch replaces; None: they are means over all batches.
    """

    axes: tuple[int, ...]  # how many axes the input may have

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
    ):
        (channels,) = shaped((whole(num_features, "num_features", 1),), "num_features")
        if not real(eps, "eps", 0):
            raise BadInput("eps is 0, and a channel may have variance 0: give a number above 0")
        self.num_features = channels
        self.eps = eps
        self.momentum = None if momentum is None else real(momentum, "momentum", 0, 1)
        self.weight = init.ones_(empty(channels)) if affine else None
        self.bias = empty(channels) if affine and bias else None
        self.running_mean = self.running_var = self.num_batches_tracked = None
        if track_running_stats:
            self.running_mean = Buffer(np.zeros(channels, np.float32))
            self.running_var = Buffer(np.ones(channels, np.float32))
            self.num_batches_tracked = Buffer(np.array(0, np.int64))

    def forward(self, input: Any) -> Any:
        x = floats(input, f"{type(self).__name__}'s input")
        if x.ndim not in self.axes:
            axes = " or ".join(map(str, self.axes))
            raise ShapeError(f"{type(self).__name__} takes {axes} axes, the input has shape {x.shape}")
        if x.shape[1] != self.num_features:
            raise ShapeError(
                f"{self} takes {many(self.num_features, 'channel')}, axis 1 of the input's shape {x.shape}, which has "
                f"{x.shape[1]}"
            )
        momentum = self.momentum
        counter = self.num_batches_tracked if self.training else None
        count = 0 if counter is None else counter.item() + 1
        if counter is not None and momentum is None:
            momentum = 1 / count
        by_batch = self.training or self.running_mean is None
        statistics = (self.running_mean, self.running_var)
        normal = F.batch_norm(x, *statistics, self.weight, self.bias, by_batch, momentum or 0.0, self.eps)
        if counter is not None:  # a batch that was refused is none
            counter[...] = count
        return normal


class BatchNorm1d(_BatchNorm):
    """(N, C) or (N, C, L): each channel normalised over the batch (Ioffe and Szegedy 2015).

    Running statistics are part of the state dict, not of `vector`.
    """

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """(N, C, H, W): each channel normalised over the batch and the image. Running statistics as in BatchNorm1d."""

    axes = (4,)


class LayerNorm(Module):
    """Each example normalised over its last axes, of `normalized_shape` (Ba et al. 2016)."""

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ):
        shape = shaped(normalized(normalized_shape), "normalized_shape")
        self.normalized_shape = shape
        self.eps = real(eps, "eps", 0)
        self.weight = init.ones_(empty(*shape)) if elementwise_affine else None
        self.bias = empty(*shape) if elementwise_affine and bias else None

    def forward(self, input: Any) -> Any:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class GroupNorm(Module):
    """Each example's channels (N, C, ...) normalised in groups (Wu and He 2018): no running statistics."""

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, bias: bool = True
    ):
        groups, channels = whole(num_groups, "num_groups", 1), whole(num_channels, "num_channels", 1)
        shaped((channels,), "num_channels")
        if channels % groups:
            raise BadInput(
                f"{many(channels, 'channel is', 'channels are')} no multiple of {many(groups, 'group')}: change one"
            )
        self.num_groups = groups
        self.eps = real(eps, "eps", 0)
        self.weight = init.ones_(empty(channels)) if affine else None
        self.bias = empty(channels) if affine and bias else None

    def forward(self, input: Any) -> Any:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
