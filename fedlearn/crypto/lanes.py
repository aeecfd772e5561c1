"""Unsigned integers of any width from 1 to 64 bits, laid end to end in 64-bit words by NumPy shifts."""

from __future__ import annotations

import numpy as np

from fedlearn.errors import CiphertextError
from fedlearn.wording import many

_WORD = 64
_U64 = np.uint64


def words_for(lanes: int, bits: int) -> int:
    """64-bit words that `lanes` lanes take."""
    return -(-lanes * bits // _WORD)


def join_lanes(lanes: np.ndarray, bits: int) -> np.ndarray:
    """(rows, lanes) uint64, each below 2^bits -> (rows, words) uint64, the first lane in the lowest bits."""
    columns = np.ascontiguousarray(lanes.T)
    words = np.zeros((words_for(lanes.shape[1], bits), len(lanes)), dtype="<u8")
    for lane, column in enumerate(columns):
        word, shift = divmod(lane * bits, _WORD)
        words[word] |= column << _U64(shift)
        if shift + bits > _WORD:
            words[word + 1] |= column >> _U64(_WORD - shift)
    return np.ascontiguousarray(words.T)


def split_lanes(words: np.ndarray, bits: int, lanes: int) -> np.ndarray:
    """The inverse of `join_lanes`."""
    columns = np.ascontiguousarray(words.T)
    split = np.empty((lanes, len(words)), dtype=np.uint64)
    for lane in range(lanes):
        word, shift = divmod(lane * bits, _WORD)
        np.right_shift(columns[word], _U64(shift), out=split[lane])
        if shift + bits > _WORD:
            split[lane] |= columns[word + 1] << _U64(_WORD - shift)
    split &= _U64((1 << bits) - 1)
    return np.ascontiguousarray(split.T)


def residues_to_bytes(residues: np.ndarray, bits: int) -> bytes:
    """One-dimensional unsigned integers below 2^bits in ceil(size * bits / 8) bytes, lowest bits first."""
    rows = np.zeros((-(-residues.size // _WORD), _WORD), dtype=np.uint64)
    rows.ravel()[: residues.size] = residues
    return join_lanes(rows, bits).tobytes()[: residue_bytes(residues.size, bits)]


def residues_from_bytes(data: bytes, bits: int, count: int) -> np.ndarray:
    """The inverse of `residues_to_bytes`, as uint64; raises `CiphertextError` for bytes of another length."""
    if len(data) != residue_bytes(count, bits):
        raise CiphertextError(
            f"{many(len(data), 'byte does', 'bytes do')} not hold {many(count, 'integer')} of {many(bits, 'bit')}: "
            "wrong length"
        )
    rows = -(-count // _WORD)
    words = np.frombuffer(data + bytes(rows * bits * 8 - len(data)), dtype="<u8").reshape(rows, bits)
    return split_lanes(words, bits, _WORD).ravel()[:count]


def residue_bytes(count: int, bits: int) -> int:
    """Bytes that `count` integers of `bits` bits take."""
    return -(-count * bits // 8)
