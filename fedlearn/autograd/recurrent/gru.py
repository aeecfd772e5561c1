"""Gated recurrent units over a whole sequence, in one op (Cho et al. 2014, in PyTorch's form).

r, z = sigmoid; n = tanh(x_n + r (W_n h + b_n)); h = (1 - z) n + z h. Gates stand in the order r, z, n.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from fedlearn.autograd.graph import Fused
from fedlearn.autograd.kernel_plan import current
from fedlearn.autograd.ops import sigmoid, split, stack, tanh
from fedlearn.autograd.recurrent.incoming import Incoming
from fedlearn.autograd.recurrent.layout import (
    aligned,
    matrices,
    projections_gradient,
    row_numbers,
    unrolled,
    weight_gradient,
)
from fedlearn.autograd.recurrent.products import Product
from fedlearn.autograd.recurrent.rooms import Call, Lent, rooms

ORDER = [0, 1, 2]


class Sequence:
    """A room for one shape of sequence: T steps of B rows of H units, from projections or a table of V of them."""

    def __init__(self, length: int, batch: int, hidden: int, dtype: np.dtype, vocabulary: int | None):
        self._incoming = Incoming(length, batch, hidden, dtype, vocabulary, ORDER, halved=0)
        self._product = Product((3, hidden, hidden), dtype, batch)
        self._gates = aligned((length, 3, batch, hidden), dtype)
        self._recalled = aligned((length, 3, batch, hidden), dtype)  # W h + b of every step
        self._states = aligned((length + 1, batch, hidden), dtype)  # h0, h of every step
        self._bias = aligned((3, 1, hidden), dtype)
        self._part = aligned((batch, hidden), dtype)
        self._ahead = [self._step(t) for t in range(length)]
        self._back: list[list[Call]] = []
        arrays = (self._gates, self._recalled, self._states)
        self.bytes = 2 * (self._product.bytes + sum(array.nbytes for array in arrays))  # as much on the way back
        self.bytes += self._incoming.bytes

    def _step(self, t: int) -> list[Call]:
        gates, recalled, before, h = self._gates[t], self._recalled[t], self._states[t], self._states[t + 1]
        sigmoids, n, half = gates[:2], gates[2], np.array(0.5, gates.dtype)
        return [
            self._product.bound(before, recalled),
            partial(np.add, recalled, self._bias, recalled),
            partial(np.add, sigmoids, recalled[:2], sigmoids),
            partial(np.multiply, sigmoids, half, sigmoids),  # sigmoid(x) = tanh(x / 2) / 2 + 1/2
            partial(np.tanh, sigmoids, sigmoids),
            partial(np.multiply, sigmoids, half, sigmoids),
            partial(np.add, sigmoids, half, sigmoids),
            partial(np.multiply, gates[0], recalled[2], self._part),
            partial(np.add, n, self._part, n),
            partial(np.tanh, n, n),
            partial(np.subtract, before, n, h),  # h = n + z (h before - n)
            partial(np.multiply, h, gates[1], h),
            partial(np.add, h, n, h),
        ]

    def forward(
        self, projected: np.ndarray, weight: np.ndarray, bias: np.ndarray, h0: np.ndarray, indices: np.ndarray | None
    ) -> np.ndarray:
        self._incoming.read(projected, indices)
        self._product.load(matrices(weight).swapaxes(1, 2))
        self._bias[...] = bias.reshape(self._bias.shape)
        self._states[0] = h0
        for steps in self._incoming.some_at_once(self._gates):
            for calls in self._ahead[steps]:
                for call in calls:
                    call()
        return self._states[1:].copy()

    def backward(self, g: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The gradients of the gates, which are good until the next call, of the weight, of the bias, and of h0."""
        if not self._back:
            self._bind_back()
        self._product_back.load(matrices(weight))
        self._outputs[...] = g
        self._dh[...] = 0
        for steps in reversed(self._incoming.steps):
            self._slopes_of(steps)
            for calls in reversed(self._back[steps]):
                for call in calls:
                    call()
        dweight = weight_gradient(self._drecalled, self._states[:-1], ORDER)
        return self._dgates, dweight, self._drecalled.sum(axis=(1, 2)).ravel(), self._dh.copy()

    def _slopes_of(self, steps: slice) -> None:
        """What does not depend on what comes after, of some steps at once."""
        gates, count = self._gates[steps], len(self._gates[steps])
        slopes = self._slopes[:count]
        np.multiply(gates, gates, out=slopes)  # s - s s is the slope of a sigmoid, 1 - s s that of a tanh
        np.subtract(gates[:, :2], slopes[:, :2], out=slopes[:, :2])
        np.subtract(1, slopes[:, 2], out=slopes[:, 2])
        np.subtract(1, gates[:, 1], out=self._rest[:count])
        np.subtract(self._states[:-1][steps], gates[:, 2], out=self._news[:count])

    def _bind_back(self) -> None:
        length, _, batch, hidden = self._gates.shape
        dtype, at_once = self._gates.dtype, self._incoming.at_once
        self._product_back = Product((3, hidden, hidden), dtype, batch)
        self._dgates = aligned((3, length, batch, hidden), dtype)
        self._drecalled = aligned((3, length, batch, hidden), dtype)  # differs in n, which r stands before
        self._outputs = aligned((length, batch, hidden), dtype)
        self._dh = aligned((batch, hidden), dtype)
        self._shares = aligned((3, batch, hidden), dtype)
        self._slopes = aligned((at_once, 3, batch, hidden), dtype)
        self._rest = aligned((at_once, batch, hidden), dtype)  # 1 - z
        self._news = aligned((at_once, batch, hidden), dtype)  # h before - n
        self._back = [self._step_back(t) for t in range(length)]

    def _step_back(self, t: int) -> list[Call]:
        place, dh, shares = t % self._incoming.at_once, self._dh, self._shares
        r, z, _ = self._gates[t]
        slopes, dgates, drecalled = self._slopes[place], self._dgates[:, t], self._drecalled[:, t]
        dr, dz, dn = dgates
        return [
            partial(np.add, dh, self._outputs[t], dh),
            partial(np.multiply, self._rest[place], dh, dn),
            partial(np.multiply, dn, slopes[2], dn),
            partial(np.multiply, dn, self._recalled[t, 2], dr),
            partial(np.multiply, self._news[place], dh, dz),
            partial(np.multiply, dgates[:2], slopes[:2], dgates[:2]),
            partial(np.copyto, drecalled[:2], dgates[:2]),
            partial(np.multiply, dn, r, drecalled[2]),
            self._product_back.bound(drecalled, shares),
            partial(np.multiply, dh, z, dh),
            partial(np.add, dh, shares[0], dh),
            partial(np.add, dh, shares[1], dh),
            partial(np.add, dh, shares[2], dh),
        ]


def _forward(
    projected: np.ndarray, weight: np.ndarray, bias: np.ndarray, h0: np.ndarray, indices: np.ndarray | None = None
) -> tuple[np.ndarray, Any]:
    if indices is not None:
        indices = row_numbers(indices, projected)
    length, batch = (projected if indices is None else indices).shape[:2]
    hidden, vocabulary = weight.shape[1], None if indices is None else len(projected)
    key = ("gru", current(), length, batch, hidden, weight.dtype, vocabulary)
    lent = rooms.lend(key, lambda: Sequence(length, batch, hidden, weight.dtype, vocabulary))
    return lent.room.forward(projected, weight, bias, h0, indices), lent


def _joint(
    g: np.ndarray,
    kept: Lent,
    projected: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    h0: np.ndarray,
    indices: np.ndarray | None = None,
) -> list[np.ndarray]:
    dgates, dweight, dbias, dh = kept.room.backward(g, weight)
    return [projections_gradient(dgates, projected, indices, ORDER), dweight, dbias, dh]


def _composed(projected: Any, weight: Any, bias: Any, h0: Any, indices: np.ndarray | None = None) -> Any:
    h, outputs = h0, []
    for step in unrolled(projected, indices):
        seen = split(step, weight.shape[1], axis=-1)
        recalled = split(h @ weight.swapaxes(0, 1) + bias, weight.shape[1], axis=-1)
        r, z = sigmoid(seen[0] + recalled[0]), sigmoid(seen[1] + recalled[1])
        n = tanh(seen[2] + r * recalled[2])
        h = n + z * (h - n)
        outputs.append(h)
    return stack(outputs)


gru = Fused("gru", _forward, _joint, _composed)
"""(projections (T, B, 3H) or a table (V, 3H) with `indices` (T, B); weight (3H, H); bias (3H,); h0 (B, H))
-> (T, B, H): h of every step."""
