"""Layers for images (N, C, H, W): convolution and pooling. Sizes are one number, or two: down and across."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fedlearn.nn import functional as F
from fedlearn.nn.functional import Size
from fedlearn.nn.layers import drawn
from fedlearn.nn.module import Module


class Conv2d(Module):
    """(N, in_channels, H, W) -> (N, out_channels, H', W'); weight is (out_channels, in_channels, h, w)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ):
        kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        fan_in = in_channels * math.prod(kernel)
        self.weight = drawn(fan_in, rng, out_channels, in_channels, *kernel)
        self.bias = drawn(fan_in, rng, out_channels) if bias else None
        self.stride = stride
        self.padding = padding
        self.dilation = dilation

    def forward(self, input: Any) -> Any:
        return F.conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation)


class MaxPool2d(Module):
    """The largest number in each window; windows do not overlap unless `stride` says so."""

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1):
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation

    def forward(self, input: Any) -> Any:
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding, self.dilation)


class AvgPool2d(Module):
    """The mean of each window; windows do not overlap unless `stride` says so."""

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0):
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding

    def forward(self, input: Any) -> Any:
        return F.avg_pool2d(input, self.kernel_size, self.stride, self.padding)
