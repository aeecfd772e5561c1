"""Bags of embeddings on kept arrays: the sums of `fused.embedding_bag`, and its gradient, in the same order.

How many words a batch has differs from one to the next, so they are taken as they come, and checked as they come: a
number out of range, or a bag that begins before the one before it, raises, and the tape says what is wrong.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fedlearn.autograd.sparse import UNSIGNED, add_sums, add_to_known_rows

MOST = 2**31  # rows, or words: numbered with 32 bits


class Words:
    """The words of a batch as rows of a table (..., V, D) that is taken as one: `numbers` (n,), `bounds` (B + 1,).

    given: where the words come from. copies, apart: how many tables there are, and how many rows from one to the next.
    """

    def __init__(self, given: Any, offsets: np.ndarray, vocabulary: int, copies: int, apart: int):
        self._given = given
        self._offsets = offsets.reshape(-1)
        self._vocabulary = vocabulary
        self.copies, self.apart = copies, apart
        self._shifts = np.arange(copies, dtype=np.int32) * np.int32(apart)
        self._ends = np.zeros(offsets.size + 1, np.int64)
        self._firsts = self._ends[:: offsets.shape[-1]] if copies > 1 else None
        self.sizes = np.zeros(offsets.size, np.int64)
        self.bounds = np.zeros(offsets.size + 1, np.int32)
        self.numbers = np.zeros(0, np.int32)
        self.bytes = sum(kept.nbytes for kept in (self._shifts, self._ends, self.sizes, self.bounds))

    def read(self) -> None:
        given, ends = self._given.array, self._ends
        ends[:-1] = self._offsets
        ends[-1] = given.size
        np.subtract(ends[1:], ends[:-1], self.sizes)
        if ends[0] != 0 or self.sizes.min() < 0 or given.size >= MOST:
            raise IndexError("offsets begin with 0, never fall, and end within the words")
        if given.size and not given.view(UNSIGNED[given.dtype]).max() < self._vocabulary:
            raise IndexError("a word out of the vocabulary")
        np.copyto(self.bounds, ends, casting="unsafe")
        if self._firsts is None:
            self.numbers = given.astype(np.int32, copy=False)
        else:
            self.numbers = np.repeat(self._shifts, self._firsts[1:] - self._firsts[:-1])
            np.add(self.numbers, given, self.numbers, casting="unsafe")


def forward(build: Any, seen: np.ndarray, weight: Any, indices: Any, offsets: Any, mode: str) -> Any:
    if weight.dtype != np.float32 or indices.array.dtype not in UNSIGNED or not offsets.size or not weight.size:
        return None
    *copies, vocabulary, width = weight.shape
    count, apart, source = prod(copies), rows_apart(weight), weight
    if apart is None:
        source, apart = build.array(weight.shape), vocabulary
        build.call(np.copyto, source, weight)
    if count * apart >= MOST:
        return None
    words = Words(indices, offsets, vocabulary, count, apart)
    build.bytes += words.bytes
    bags = build.array((offsets.size, width))
    divisors = build.array((offsets.size, 1)) if mode == "mean" else None
    build.call(words.read)
    build.call(_sum, as_one(source, apart), words, bags)
    if divisors is not None:
        build.call(_count, words.sizes, divisors[:, 0])
        build.call(np.divide, bags, divisors, bags)
    return bags.reshape(seen.shape), (words, divisors)


def backward(
    build: Any,
    position: int,
    g: np.ndarray,
    kept: Any,
    weight: Any,
    indices: Any,
    offsets: Any,
    mode: str,
    *,
    room: Any,
) -> Any:
    words, divisors = kept
    g = g.reshape(offsets.size, weight.shape[-1])
    if divisors is not None:
        shares = build.array(g.shape)
        build.call(np.divide, g, divisors, shares)
        g = shares
    out = room
    if room is None or rows_apart(room) != words.apart:
        own = build.array((words.copies * words.apart, weight.shape[-1]))
        strides = (words.apart * own.strides[0], *own.strides)[-weight.ndim :]
        out = as_strided(own, weight.shape, strides)
    build.call(out.fill, 0)
    build.call(_add, as_one(out, words.apart), words, g)
    return out


def _sum(table: np.ndarray, words: Words, bags: np.ndarray) -> None:
    bags.fill(0)
    add_sums(table, words.numbers, words.bounds, bags)


def _add(table: np.ndarray, words: Words, values: np.ndarray) -> None:
    add_to_known_rows(table, words.numbers, words.bounds, values)


def _count(sizes: np.ndarray, divisors: np.ndarray) -> None:
    np.copyto(divisors, sizes, casting="unsafe")
    np.maximum(divisors, 1, out=divisors)


def rows_apart(weight: np.ndarray) -> int | None:
    """How many rows lie from one table of (..., V, D) to the next; None where that is no whole number of rows."""
    if weight.flags.c_contiguous:
        return int(weight.shape[-2])
    if weight.ndim != 3:
        return None
    step, row, number = weight.strides
    whole = number == weight.itemsize and row == weight.shape[-1] * number and row > 0 and step % row == 0
    return step // row if whole and step > 0 else None


def as_one(weight: np.ndarray, apart: int) -> np.ndarray:
    """All tables as one (rows, D), with whatever lies between them."""
    *copies, vocabulary, width = weight.shape
    rows = (prod(copies) - 1) * apart + vocabulary
    return as_strided(weight, (rows, width), weight.strides[-2:])
