"""Layers that bring their input to mean 0 and variance 1: over a batch, or within each example."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.errors import ShapeError
from fedlearn.nn import functional as F
from fedlearn.nn.module import Module
from fedlearn.nn.parameter import Buffer, Parameter


class _BatchNorm(Module):
    axes: tuple[int, ...]  # how many axes the input may have

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ):
        self.eps = eps
        self.momentum = momentum
        self.weight = Parameter(np.ones(num_features, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(num_features, np.float32)) if affine else None
        self.running_mean = self.running_var = self.num_batches_tracked = None
        if track_running_stats:
            self.running_mean = Buffer(np.zeros(num_features, np.float32))
            self.running_var = Buffer(np.ones(num_features, np.float32))
            self.num_batches_tracked = Buffer(np.array(0, np.int64))

    def forward(self, input: Any) -> Any:
        if input.ndim not in self.axes:
            raise ShapeError(f"{type(self).__name__} takes {self.axes} axes, the input has shape {input.shape}")
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked[...] = self.num_batches_tracked.item() + 1
        statistics = (self.running_mean, self.running_var)
        return F.batch_norm(input, *statistics, self.weight, self.bias, self.training, self.momentum, self.eps)


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
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.eps = eps
        self.weight = Parameter(np.ones(shape, np.float32)) if elementwise_affine else None
        self.bias = Parameter(np.zeros(shape, np.float32)) if elementwise_affine and bias else None

    def forward(self, input: Any) -> Any:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)
