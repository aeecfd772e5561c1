from __future__ import annotations

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.crypto.integers import integers_from_bytes, integers_to_bytes
from fedlearn.crypto.packing import LanePacking
from fedlearn.errors import CiphertextError, CodecError

MODULUS = mpz(2) ** 509 + 111  # packing needs no primes


def signed_values(bits, size):
    """`size` integers of `bits` signed bits, extremes included."""
    most = 2 ** (bits - 1) - 1
    return st.lists(st.integers(-most - 1, most) | st.sampled_from([-most - 1, most, 0, -1]), max_size=size)


@given(st.integers(2, 64), st.data())
def test_packing_follows_its_formula_and_comes_back(lane_bits, data):
    packing = LanePacking(lane_bits, MODULUS)
    values = np.array(data.draw(signed_values(lane_bits, 3 * packing.lanes)), dtype=np.int64)
    plaintexts = packing.pack(values)
    assert len(plaintexts) == packing.plaintexts(values.size)
    for index, plaintext in enumerate(plaintexts):
        lanes = values[index * packing.lanes : (index + 1) * packing.lanes]
        assert plaintext == sum(int(s) << (lane_bits * i) for i, s in enumerate(lanes)) % MODULUS
    np.testing.assert_array_equal(packing.unpack(plaintexts, values.size), values)


@given(st.integers(8, 64), st.integers(1, 40), st.data())
def test_sums_are_exact_whoever_drops_out(lane_bits, addends, data):
    """Addends need not number what the lanes were made for: nothing in a plaintext depends on it."""
    packing = LanePacking(lane_bits, MODULUS)
    bits = lane_bits - (addends - 1).bit_length()
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    most = 2 ** (bits - 1) - 1
    vectors = rng.integers(-most, most, (addends, 2 * packing.lanes + 1), endpoint=True)
    stayed = vectors[np.array(data.draw(st.lists(st.booleans(), min_size=addends, max_size=addends)))]
    packed = [packing.pack(v) for v in stayed] or [packing.pack(np.zeros(vectors.shape[1], np.int64))]
    total = [sum(column) % MODULUS for column in zip(*packed, strict=True)]
    np.testing.assert_array_equal(packing.unpack(total, vectors.shape[1]), stayed.sum(axis=0))


def test_plaintexts_leave_two_bits_of_the_modulus_free():
    assert LanePacking(31, mpz(1) << 2047).lanes == 66
    assert LanePacking(31, mpz(1) << 3071).lanes == 99


def test_a_plaintext_that_is_no_sum_of_lanes_is_refused():
    packing = LanePacking(20, MODULUS)
    with pytest.raises(CiphertextError, match="20-bit lanes"):
        packing.unpack([MODULUS // 2], 3)


def test_values_too_large_for_a_lane_are_refused():
    packing = LanePacking(20, MODULUS)
    assert packing.pack(np.array([2**19 - 1, -(2**19)]))
    for value in (2**19, -(2**19) - 1):
        with pytest.raises(CodecError, match="do not fit 20-bit lanes"):
            packing.pack(np.array([0, value]))


@pytest.mark.parametrize("lane_bits", [0, 1, 65])
def test_lane_widths_out_of_range_are_refused(lane_bits):
    with pytest.raises(CodecError, match="2 to 64"):
        LanePacking(lane_bits, MODULUS)


def test_a_modulus_too_small_for_one_lane_is_refused():
    with pytest.raises(CodecError, match="larger key"):
        LanePacking(31, mpz(126869))


@given(st.lists(st.integers(0, 2**72 - 1)))
def test_integers_to_bytes_and_back(integers):
    raw = integers_to_bytes([mpz(i) for i in integers], 9)
    assert raw == b"".join(i.to_bytes(9, "little") for i in integers)
    assert integers_from_bytes(raw, 9) == integers
