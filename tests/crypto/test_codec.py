from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fedlearn.crypto import FixedPoint
from fedlearn.errors import CodecError, ShapeError

BOUNDS = st.floats(1e-6, 1e3)


@st.composite
def codecs(draw, **options):
    bits, addends = draw(st.integers(2, 40)), draw(st.integers(1, 1 << 20))
    bound = draw(BOUNDS)
    assume(bound <= 2 ** (bits - 1) - 1)
    return FixedPoint(bits, bound, addends, **options)


def vectors(draw, codec, count, size):
    unit = st.floats(-1, 1, allow_subnormal=False)
    return [np.array(draw(st.lists(unit, min_size=size, max_size=size))) * codec.bound for _ in range(count)]


def exact_mean(vectors, weights):
    total = sum(Fraction(w) for w in weights)
    columns = zip(*vectors, strict=True)
    return [sum(Fraction(x) * Fraction(w) for x, w in zip(c, weights, strict=True)) / total for c in columns]


def largest_error(codec, total, total_weight, max_weight, mean):
    """In exact arithmetic, so that float rounding neither hides nor adds an error."""
    scale = Fraction(max_weight) / Fraction(total_weight) / 2**codec.fraction_bits
    return max(abs(int(t) * scale - m) for t, m in zip(total, mean, strict=True))


@given(codecs())
def test_the_scale_is_the_largest_that_fits(codec):
    f, bound = codec.fraction_bits, Fraction(codec.bound)
    assert f >= 0
    assert 2**f * bound <= codec.limit < 2 ** (f + 1) * bound
    assert codec.encode(np.array([codec.bound, -codec.bound])).max() <= codec.limit


@given(codecs())
def test_a_lane_holds_the_sum_of_all_addends(codec):
    assert codec.addends * codec.limit < 2 ** (codec.lane_bits - 1)
    assert codec.lane_bits == codec.bits + int(np.ceil(np.log2(codec.addends)))


@given(st.data())
def test_error_of_the_unweighted_mean_is_within_its_bound(data):
    codec = data.draw(codecs())
    count = data.draw(st.integers(1, min(8, codec.addends)))
    xs = vectors(data.draw, codec, count, 5)
    total = sum(codec.encode(x) for x in xs)
    error = largest_error(codec, total, count, 1, exact_mean(xs, [1] * count))
    assert error <= codec.error_bound(addends=count) == 2.0 ** -(codec.fraction_bits + 1)
    decoded = codec.decode(total, count)
    assert decoded.dtype == np.float64
    np.testing.assert_allclose(decoded, total / 2.0**codec.fraction_bits / count, rtol=1e-15)


@given(st.data())
def test_error_of_the_weighted_mean_is_within_its_bound(data):
    codec = data.draw(codecs())
    weights = data.draw(st.lists(st.integers(1, 1000), min_size=1, max_size=min(6, codec.addends)))
    # a power of two and float32 values make (w / w_max) * x exact, so that only the codec's own error remains
    heaviest = 1 << data.draw(st.integers(max(weights).bit_length(), 12))
    xs = [0.99 * x for x in vectors(data.draw, codec, len(weights), 4)]
    xs = [x.astype(np.float32).astype(np.float64) for x in xs]
    total = sum(codec.encode(w / heaviest * x) for x, w in zip(xs, weights, strict=True))
    error = largest_error(codec, total, sum(weights), heaviest, exact_mean(xs, weights))
    bound = Fraction(len(weights) * heaviest, sum(weights) * 2 ** (codec.fraction_bits + 1))
    assert error <= bound
    stated = codec.error_bound(addends=len(weights), total_weight=sum(weights), max_weight=heaviest)
    assert stated == pytest.approx(float(bound), rel=1e-15)


@given(st.data())
def test_clipping_adds_its_own_term(data):
    codec = data.draw(codecs(overflow="clip"))
    xs = [3 * x for x in vectors(data.draw, codec, min(3, codec.addends), 6)]
    total = sum(codec.encode(x) for x in xs)
    excess = sum(max(0.0, float(np.abs(x).max()) - codec.bound) for x in xs)
    error = largest_error(codec, total, len(xs), 1, exact_mean(xs, [1] * len(xs)))
    assert float(error) <= codec.error_bound(addends=len(xs), clipped=excess) * (1 + 1e-12)
    for x in xs:
        assert codec.count_outside(x) == (np.abs(x) > codec.bound).sum()
        assert np.abs(codec.encode(x)).max() <= codec.limit


def test_integers_are_exact_when_no_fraction_fits():
    codec = FixedPoint(bits=16, bound=32767, addends=4)
    assert codec.fraction_bits == 0
    values = np.arange(-32767, 32768)
    np.testing.assert_array_equal(codec.encode(values), values)


def test_known_codec():
    codec = FixedPoint(bits=24, bound=1.0, addends=100)
    assert (codec.fraction_bits, codec.lane_bits, codec.limit) == (22, 31, 2**23 - 1)
    assert codec.error_bound() == 2.0**-23
    np.testing.assert_array_equal(codec.encode(np.float32([[1, -1], [0, 0.25]])), [[2**22, -(2**22)], [0, 2**20]])


@given(st.data())
def test_single_precision_gives_the_integers_of_double(data):
    codec = data.draw(codecs())
    halves = np.arange(-9, 10) * 2.0 ** -(codec.fraction_bits + 1)  # ties, which go to even
    x = np.clip(np.concatenate([*vectors(data.draw, codec, 2, 5), halves]), -codec.bound, codec.bound)
    narrow = np.clip(x.astype(np.float32), *np.nextafter(np.float32([-codec.bound, codec.bound]), np.float32(0)))
    one, other = (codec.encode(values) for values in (narrow, narrow.astype(np.float64)))
    np.testing.assert_array_equal(one, other)
    into = np.empty(x.shape, codec.dtype)
    np.testing.assert_array_equal(codec.encode(narrow, out=into), other)
    assert into.itemsize * 8 >= codec.bits


def test_a_lane_may_be_as_wide_as_the_integers_it_is_summed_in():
    widest = FixedPoint(bits=60, bound=1.0, addends=8)
    assert widest.lane_bits == 63
    assert widest.encode(np.array([-1.0, 1.0])).dtype == np.int64
    with pytest.raises(CodecError, match="9 addends of 60 bits would need 64-bit lanes: at most 63"):
        FixedPoint(bits=60, bound=1.0, addends=9)


def test_values_that_cannot_be_held_are_refused_by_name():
    codec = FixedPoint(bits=24, bound=4, addends=3)
    with pytest.raises(CodecError, match="2 of 5 values are NaN or infinite, the first at flat index 1"):
        codec.encode(np.array([0, np.nan, 1, -np.inf, 9]))
    with pytest.raises(CodecError, match="2 of 4 values lie outside the bound 4, the worst is -7"):
        codec.encode(np.array([0, 5, -7.5, 4]))
    with pytest.raises(CodecError, match="NaN"):
        FixedPoint(24, 4, 3, overflow="clip").encode(np.array([np.inf]))
    for values in (np.array([1j]), np.array(["1"]), np.array([True]), np.array([None])):
        with pytest.raises(CodecError, match="array of real numbers"):
            codec.encode(values)
    for scale in (math.nan, "1", None):
        with pytest.raises(CodecError, match=r"NaN|real number"):
            codec.encode(np.zeros(2) + 1, scale=scale)
    for scale in (-1e-300, np.nextafter(2.0**62, np.inf)):
        with pytest.raises(CodecError, match=r"scale is .*: it must be a real number from 0 to 4\.6"):
            codec.encode(np.zeros(2), scale=scale)
    for scale in (0, 2.0**62):
        assert codec.encode(np.zeros(2), scale=scale).tolist() == [0, 0]
    with pytest.raises(ShapeError, match=r"\(3,\) do not fit an array of shape \(2,\)"):
        codec.encode(np.zeros(3), out=np.zeros(2, np.int64))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"bits": 1}, "at least 2 bits"),
        ({"addends": 0}, "1 addend"),
        ({"bits": 60, "addends": 100}, "67-bit lanes: at most 63"),
        ({"bound": 0.0}, "above 0"),
        ({"bound": float("nan")}, "above 0"),
        ({"bits": 8, "bound": 128.0}, "at most 127"),
        ({"overflow": "wrap"}, "'refuse' or 'clip'"),
        ({"rounding": "down"}, "choose 'nearest' or 'stochastic'"),
        ({"colour": 3}, "known"),
        ({"bits": "many"}, "many"),
        ({"bits": 8, "addends": 2**40, "bound": 1.0}, "at most 4,294,967,295 addends"),
        ({"bits": 24.7}, "integer"),
        ({"addends": float("inf")}, "integer"),
        ({"addends": True}, "addends is True, an integer is needed"),
        ({"bits": np.bool_(True)}, "integer"),
        ({"bits": None}, "integer"),
        ({"bound": True}, "bound is True, a real number is needed"),
        ({"bound": "1"}, "real number"),
        ({"bound": 10**400}, "real number"),
        ({"bound": 1j}, "real number"),
        ({"bound": -1.0}, "above 0"),
        ({"bound": 1e-305}, "too small for 24 bits: at least"),
        ({"bound": 5e-324}, "too small"),
    ],
)
def test_configurations_that_cannot_be_exact_are_refused(config, said):
    with pytest.raises(CodecError, match=said):
        FixedPoint.from_dict({"bits": 24, "bound": 1.0, "addends": 10, **config})


def test_a_scale_whose_factor_is_beyond_single_precision_gives_the_same_integers():
    codec = FixedPoint(bits=8, bound=2.0**-121, addends=2)
    assert codec.fraction_bits == 127  # times a scale of 2 it is 2^128
    assert codec.encode(np.float32([2.0**-124]), scale=2).tolist() == [16]


def test_numpys_numbers_are_taken_like_pythons():
    codec = FixedPoint(np.int8(24), np.float32(0.5), np.uint64(3))
    assert codec == FixedPoint(24, 0.5, 3)
    assert [type(value) for value in codec.to_dict().values()] == [int, float, int, str, str]
    assert FixedPoint.from_bytes(codec.to_bytes()) == codec
    np.testing.assert_array_equal(codec.encode(np.arange(-1, 1, dtype=np.int8) * 0), [0, 0])
    assert codec.encode(np.float16([0.25])) == codec.encode(np.array([0.25]), scale=np.float32(1))


@given(st.integers(2, 45), st.floats(min_value=0, exclude_min=True), st.integers(1, 8))
def test_every_codec_that_can_be_made_encodes_exactly(bits, bound, addends):
    """Of the smallest bounds the factor would overflow, and 0 become the least integer there is."""
    try:
        codec = FixedPoint(bits, bound, addends)
    except CodecError:
        return
    encoded = codec.encode(np.array([0.0, bound, -bound, bound / 2]))
    assert encoded[0] == 0
    assert encoded[1] == -encoded[2]
    assert (codec.limit - 1) // 2 <= encoded[1] <= codec.limit  # no room of a power of two is wasted
    mean = codec.decode(encoded * addends, addends)
    assert np.abs(mean - [0.0, bound, -bound, bound / 2]).max() <= codec.error_bound() * (1 + 1e-9)


@pytest.mark.parametrize("weights", [(0, 1), (-1, 1), (float("inf"), 1), (1, 0), (1, float("nan"))])
def test_weights_must_be_positive_and_finite(weights):
    with pytest.raises(CodecError, match="above 0"):
        FixedPoint(24, 1.0, 10).decode(np.zeros(1, np.int64), *weights)


@given(codecs(), st.sampled_from(["refuse", "clip"]))
def test_dictionaries_and_bytes_round_trip(codec, overflow):
    codec = FixedPoint(codec.bits, codec.bound, codec.addends, overflow=overflow)
    assert FixedPoint.from_dict(codec.to_dict()) == codec
    assert FixedPoint.from_bytes(codec.to_bytes()) == codec


@pytest.mark.parametrize("damage", [(0, 0), (13, 4), (13, 9), (1, 255)])
def test_damaged_codec_bytes_are_refused(damage):
    position, value = damage
    raw = bytearray(FixedPoint(24, 1.0, 10).to_bytes())
    raw[position] = value
    with pytest.raises(CodecError):
        FixedPoint.from_bytes(bytes(raw))
    with pytest.raises(CodecError, match="takes"):
        FixedPoint.from_bytes(bytes(raw[:-1]))
