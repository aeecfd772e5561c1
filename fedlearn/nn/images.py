"""Layers for images (N, C, H, W): convolution and pooling. Sizes are one number, or two: down and across."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fedlearn.errors import BadInput
from fedlearn.nn import functional as F
from fedlearn.nn.functional import Size
from fedlearn.nn.functional.arguments import sizes, whole
from fedlearn.nn.layers import drawn
from fedlearn.nn.module import Module
from fedlearn.wording import many

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """Convolution over the last axes; weight is (out_channels, in_channels / groups, *kernel)."""

    axes: int
    replayable = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        rng: np.random.Generator | None = None,
    ):
        if padding_mode not in PADDING_MODES:
            raise BadInput(f"unknown padding_mode {padding_mode!r:.60}: choose {', '.join(PADDING_MODES)}")
        if padding_mode != "zeros" and isinstance(padding, str):
            raise BadInput(f"padding {padding!r} with padding_mode {padding_mode}: give padding as numbers")
        kernel = sizes(kernel_size, "kernel_size", self.axes, 1)
        inputs, outputs = _channels(in_channels, out_channels, groups)
        fan_in = inputs // groups * math.prod(kernel)
        self.weight = drawn(fan_in, rng, outputs, inputs // groups, *kernel)
        self.bias = drawn(fan_in, rng, outputs) if bias else None
        self.stride = sizes(stride, "stride", self.axes, 1)
        self.padding = padding if isinstance(padding, str) else sizes(padding, "padding", self.axes)
        self.dilation = sizes(dilation, "dilation", self.axes, 1)
        self.groups = groups
        self.padding_mode = padding_mode

    def forward(self, input: Any) -> Any:
        padding: Size | str = self.padding
        if self.padding_mode != "zeros":
            ends = [size for size in reversed(sizes(padding, "padding", self.axes)) for _ in range(2)]
            input = F.pad(input, ends, self.padding_mode)
            padding = 0
        run = F.conv1d if self.axes == 1 else F.conv2d
        return run(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """(N, in_channels, L) -> (N, out_channels, L'); weight is (out_channels, in_channels / groups, l)."""

    axes = 1


class Conv2d(_Conv):
    """(N, in_channels, H, W) -> (N, out_channels, H', W'); weight is (out_channels, in_channels / groups, h, w)."""

    axes = 2


class ConvTranspose2d(Module):
    """The way back of Conv2d, as decoders use it; weight is (in_channels, out_channels / groups, h, w)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        *,
        rng: np.random.Generator | None = None,
    ):
        kernel = sizes(kernel_size, "kernel_size", least=1)
        inputs, outputs = _channels(in_channels, out_channels, groups)
        fan_in = outputs // groups * math.prod(kernel)
        self.weight = drawn(fan_in, rng, inputs, outputs // groups, *kernel)
        self.bias = drawn(fan_in, rng, outputs) if bias else None
        self.stride = sizes(stride, "stride", least=1)
        self.padding = sizes(padding, "padding")
        self.output_padding = sizes(output_padding, "output_padding")
        self.groups = groups
        self.dilation = sizes(dilation, "dilation", least=1)

    def forward(self, input: Any) -> Any:
        geometry = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return F.conv_transpose2d(input, self.weight, self.bias, *geometry)


class MaxPool2d(Module):
    """The largest number in each window; windows do not overlap unless `stride` says so."""

    replayable = True

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        *,
        ceil_mode: bool = False,
    ):
        self.kernel_size = sizes(kernel_size, "kernel_size", least=1)
        self.stride = None if stride is None else sizes(stride, "stride", least=1)
        self.padding = sizes(padding, "padding")
        self.dilation = sizes(dilation, "dilation", least=1)
        self.ceil_mode = ceil_mode

    def forward(self, input: Any) -> Any:
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class AvgPool2d(Module):
    """The mean of each window; windows do not overlap unless `stride` says so. Options as in `F.avg_pool2d`."""

    replayable = True

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        self.kernel_size = sizes(kernel_size, "kernel_size", least=1)
        self.stride = None if stride is None else sizes(stride, "stride", least=1)
        self.padding = sizes(padding, "padding")
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = None if divisor_override is None else whole(divisor_override, "divisor_override", 1)

    def forward(self, input: Any) -> Any:
        geometry = (self.kernel_size, self.stride, self.padding)
        return F.avg_pool2d(input, *geometry, self.ceil_mode, self.count_include_pad, self.divisor_override)


class AdaptiveAvgPool2d(Module):
    """Means of windows chosen so that the result is output_size; None keeps an axis as it is."""

    def __init__(self, output_size: Any):
        given = output_size if isinstance(output_size, tuple | list) else (output_size,)
        for size in given:
            if size is not None:
                whole(size, "output_size", 1)
        if len(given) not in (1, 2):
            raise BadInput(f"output_size is {output_size!r:.60}: give one whole number or None, or two")
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        return F.adaptive_avg_pool2d(input, self.output_size)


def _channels(in_channels: int, out_channels: int, groups: int) -> tuple[int, int]:
    inputs, outputs = whole(in_channels, "in_channels", 1), whole(out_channels, "out_channels", 1)
    if inputs % whole(groups, "groups", 1) or outputs % groups:
        raise BadInput(
            f"{many(inputs, 'channel')} in and {outputs} out are no multiples of {many(groups, 'group')}: change one"
        )
    return inputs, outputs
