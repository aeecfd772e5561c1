"""Fixed-point codec: floats to small signed integers whose sums are exact, and back.

With the scale 2^f, |x| <= bound and 2^f * bound <= 2^(bits-1) - 1, every encoded value fits `bits` signed
bits and a sum of at most `addends` of them fits `lane_bits` = bits + ceil(log2(addends)).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, NoReturn

import numpy as np

from fedlearn.crypto.checks import array_of, real, whole
from fedlearn.errors import CodecError, ShapeError
from fedlearn.parts import in_parts
from fedlearn.wording import many

MAX_LANE_BITS = 63  # sums are held in int64
MAX_ADDENDS = (1 << 32) - 1
MAX_SCALE = float(1 << 62)
MAX_FRACTION_BITS = 960  # times MAX_SCALE 2^960 is still finite in float64, and divided by 2^63 2^-960 normal
Overflow = Literal["refuse", "clip"]
Rounding = Literal["nearest", "stochastic"]
_OVERFLOW: tuple[Overflow, ...] = ("refuse", "clip")
_ROUNDING: tuple[Rounding, ...] = ("nearest", "stochastic")
_BYTES = struct.Struct(">BdIB")
CODEC_BYTES = _BYTES.size


@dataclass(frozen=True)
class FixedPoint:
    """Signed `bits`-bit integers for real values in [-bound, bound], summed over at most `addends` vectors.

    overflow: what `encode` does with a value outside the bound: "refuse" it, or "clip" it to the bound.
    rounding: to the "nearest" step; or "stochastic", up with the probability of the part that is above the step below,
    so that the mean of many roundings is the value. NumPy's numbers are taken like Python's.
    Raises `CodecError` for a configuration that cannot be exact.
    """

    bits: int
    bound: float
    addends: int
    overflow: Overflow = "refuse"
    rounding: Rounding = "nearest"

    def __post_init__(self) -> None:
        for name in ("bits", "addends"):
            object.__setattr__(self, name, whole(name, getattr(self, name)))
        object.__setattr__(self, "bound", real("bound", self.bound))
        if self.bits < 2 or not 1 <= self.addends <= MAX_ADDENDS:
            raise CodecError(
                f"bits={self.bits}, addends={self.addends}: at least 2 bits and 1 addend, at most {MAX_ADDENDS:,} "
                "addends"
            )
        if self.lane_bits > MAX_LANE_BITS:
            raise CodecError(
                f"{many(self.addends, 'addend')} of {many(self.bits, 'bit')} would need {self.lane_bits}-bit lanes: "
                f"at most {MAX_LANE_BITS}, so lower bits or addends"
            )
        if not (math.isfinite(self.bound) and 0 < self.bound <= self.limit):
            raise CodecError(
                f"bound={self.bound:g} does not fit {many(self.bits, 'signed bit')}: "
                f"it must be above 0 and at most {self.limit}"
            )
        if self.fraction_bits > MAX_FRACTION_BITS:
            raise CodecError(
                f"bound={self.bound:g} is too small for {many(self.bits, 'bit')}: "
                f"at least {math.ldexp(self.limit, -MAX_FRACTION_BITS):g} is needed, so raise the bound"
            )
        for name, known in (("overflow", _OVERFLOW), ("rounding", _ROUNDING)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise CodecError(f"{name}={value!r}: choose {known[0]!r} or {known[1]!r}")

    @property
    def limit(self) -> int:
        """The largest encoded magnitude, 2^(bits-1) - 1."""
        return (1 << (self.bits - 1)) - 1

    @property
    def dtype(self) -> np.dtype:
        """The smaller of int32 and int64, little-endian, that holds an encoded value."""
        return np.dtype("<i4" if self.bits <= 32 else "<i8")

    @cached_property
    def fraction_bits(self) -> int:
        """The largest f with 2^f * bound <= limit; integers are encoded as they are when it is 0."""
        steps = self.limit / Fraction(self.bound)
        return (steps.numerator // steps.denominator).bit_length() - 1

    @cached_property
    def _scaled_bound(self) -> float:
        return math.ldexp(self.bound, self.fraction_bits)

    @property
    def lane_bits(self) -> int:
        """Signed bits that hold the sum of `addends` encoded values."""
        return self.bits + (self.addends - 1).bit_length()

    def encode(
        self,
        values: np.ndarray,
        scale: float = 1.0,
        out: np.ndarray | None = None,
        coins: np.ndarray | None = None,
    ) -> np.ndarray:
        """Round real `values` (any shape, taken as float64) times `scale` to int64 multiples of 2^-f.

        For a weighted mean `scale` is w / w_max, so that lanes need not widen for weights; it is never negative.
        out: an array to put them in, of int64 or `dtype`, of their shape or one that they broadcast to; where values
        are refused, it holds some of them. coins: uniform numbers in [0, 1) of the values' shape, which stochastic
        rounding goes by.

        Raises `CodecError` for NaN or infinity, for values outside the bound unless overflow="clip", and for what is no
        array of real numbers; `ShapeError` for another shape of `out`.
        """
        values, scale = array_of(values, "fiu", "real numbers"), real("scale", scale)
        if not 0 <= scale <= MAX_SCALE:
            raise CodecError(f"scale is {scale:g}: it must be a real number from 0 to {MAX_SCALE:g}")
        if out is None:
            out = np.empty(values.shape, np.int64)
        if not isinstance(out, np.ndarray) or out.dtype not in (self.dtype, np.int64):
            raise CodecError(f"out is of type {getattr(out, 'dtype', type(out))}: give int64 or {self.dtype}")
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large for float64 lies outside the bound
            if values.shape == out.shape and self.rounding == "nearest":
                room = None
                for part in in_parts(values.shape):
                    room = self._scaled(values[part], scale, values, room)
                    np.copyto(out[part], np.rint(room, out=room), casting="unsafe")
                return out
            scaled = self._scaled(values, scale, values)
        scaled = np.rint(scaled) if self.rounding == "nearest" else _by_chance(scaled, coins)
        try:
            np.copyto(out, scaled, casting="unsafe")
        except ValueError:
            raise ShapeError(f"values of shape {values.shape} do not fit an array of shape {out.shape}") from None
        return out

    def _scaled(
        self, values: np.ndarray, scale: float, among: np.ndarray, room: np.ndarray | None = None
    ) -> np.ndarray:
        """The values in steps of 2^-f. among: all of them, where these are a part; a refusal is of them all.

        room: what came of the part before, in which they may be put if it is of their shape.
        """
        # One pass for both factors, and the same numbers: multiplying by a power of two rounds nothing, in float32 too.
        factor, bound = np.ldexp(np.float64(scale), self.fraction_bits), self._scaled_bound
        low, high = np.minimum.reduce(values, None, initial=0), np.maximum.reduce(values, None, initial=0)
        if -bound <= low * factor and high * factor <= bound:
            exact = scale == 1 and self.fraction_bits < 128 and values.dtype == np.float32
            by = np.float32(factor) if exact else factor
            fits = room is not None and room.shape == values.shape
            return np.asarray(np.multiply(values, by, out=room if fits else None))
        # Where values are clipped only NaN and infinity are refused, so that other parts need no second look.
        if self.overflow == "refuse" or not all(math.isfinite(float(end) * scale) for end in (low, high)):
            self._refuse(np.asarray(among, np.float64) * scale)
        return np.asarray(np.clip(values * factor, -bound, bound))

    def _refuse(self, values: np.ndarray) -> NoReturn:
        outside = self.count_outside(values)
        worst = values.flat[np.argmax(np.abs(values))]
        raise CodecError(
            f"{outside} of {many(values.size, 'value lies', 'values lie')} outside the bound {self.bound:g}, "
            f"the worst is {worst:g}: raise bound or set overflow=clip in the codec, or lower the learning rate"
        )

    def count_outside(self, values: np.ndarray) -> int:
        """How many values lie outside the bound; raises `CodecError` if any is not finite."""
        magnitudes = np.abs(np.asarray(array_of(values, "fiu", "real numbers"), dtype=np.float64))
        if not np.isfinite(magnitudes.max(initial=0.0)):
            bad = np.flatnonzero(~np.isfinite(magnitudes))
            raise CodecError(
                f"{bad.size} of {many(magnitudes.size, 'value is', 'values are')} NaN or infinite, "
                f"the first at flat index {bad[0]}: training diverged, or began with such data: "
                "lower the learning rate, or mend the data"
            )
        return int(np.count_nonzero(magnitudes > self.bound))

    def decode(self, total: np.ndarray, total_weight: float, max_weight: float = 1.0) -> np.ndarray:
        """The float64 mean of an int64 sum: total * 2^-f * max_weight / total_weight.

        Unweighted: `total_weight` is the number of addends. Weighted, for values encoded as (w / max_weight) * x:
        `total_weight` is the sum of the weights. The result is off by `error_bound` at most, besides float64's
        rounding. Raises `CodecError` for anything but integers, and for weights that are not finite and above 0.
        """
        total_weight, max_weight = _weights(total_weight, max_weight)
        sums = array_of(total, "iu", "integers").astype(np.float64)
        return np.ldexp(sums, -self.fraction_bits) * (max_weight / total_weight)

    def error_bound(
        self,
        addends: int | None = None,
        total_weight: float | None = None,
        max_weight: float = 1.0,
        clipped: float = 0.0,
    ) -> float:
        """The most by which a decoded mean can differ from the true mean, in any component.

        addends * step * max_weight / total_weight, where step is 2^-(f+1), so just the step for an unweighted mean;
        2^-f where rounding is stochastic.
        `addends` defaults to the codec's, `total_weight` to `addends`. `clipped` is the sum over addends of the largest
        |x| - bound that was clipped away; it adds clipped * max_weight / total_weight.
        """
        count = self.addends if addends is None else whole("addends", addends)
        weight, max_weight = _weights(count if total_weight is None else total_weight, max_weight)
        clipped = real("clipped", clipped)
        if not 1 <= count <= MAX_ADDENDS or not clipped >= 0:
            raise CodecError(
                f"{many(count, 'addend')}, {clipped} clipped: 1 to {MAX_ADDENDS:,} addends, and 0 or more clipped"
            )
        step = math.ldexp(1.0, -self.fraction_bits - (self.rounding == "nearest"))
        return (count * step + clipped) * max_weight / weight

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, config: Any) -> FixedPoint:
        """Read `to_dict`; raises `CodecError` for unknown, missing or ill-typed entries."""
        known = {f.name for f in fields(cls)}
        if not isinstance(config, Mapping):
            raise CodecError(f"a codec is {config!r:.80}: a table of bits, bound and addends is needed")
        if not {"bits", "bound", "addends"} <= config.keys() <= known:
            raise CodecError(
                f"codec entries {sorted(map(str, config))}: bits, bound and addends are needed, {sorted(known)} known"
            )
        return cls(**config)

    def to_bytes(self) -> bytes:
        """`CODEC_BYTES` bytes that `from_bytes` reads back."""
        mode = _OVERFLOW.index(self.overflow) + len(_OVERFLOW) * _ROUNDING.index(self.rounding)
        return _BYTES.pack(self.bits, self.bound, self.addends, mode)

    @classmethod
    def from_bytes(cls, data: bytes) -> FixedPoint:
        """Read `to_bytes`; raises `CodecError` for bytes of another length or values that make no codec."""
        if not isinstance(data, bytes) or len(data) != CODEC_BYTES:
            raise CodecError(f"a codec takes {CODEC_BYTES} bytes, not {data!r:.80}")
        bits, bound, addends, mode = _BYTES.unpack(data)
        rounding, overflow = divmod(mode, len(_OVERFLOW))
        if rounding >= len(_ROUNDING):
            raise CodecError(f"codec of unknown mode {mode}: damaged or of a later version")
        return cls(bits, bound, addends, _OVERFLOW[overflow], _ROUNDING[rounding])


def _by_chance(scaled: np.ndarray, coins: np.ndarray | None) -> np.ndarray:
    """Down or up to a whole number; raises `CodecError` without coins."""
    if coins is None or np.shape(coins) != scaled.shape:
        raise CodecError(f"rounding=stochastic needs coins, uniform numbers of shape {scaled.shape}: give coins")
    found: np.ndarray = np.minimum(np.floor(scaled + coins), np.ceil(scaled))  # float64 may round 1 - 2^-53 up
    return found


def _weights(total_weight: Any, max_weight: Any) -> tuple[float, float]:
    total, largest = real("total_weight", total_weight), real("max_weight", max_weight)
    if not (
        math.isfinite(total) and total > 0 and math.isfinite(largest) and largest > 0 and math.isfinite(largest / total)
    ):
        raise CodecError(f"total_weight={total_weight}, max_weight={max_weight}: both must be finite and above 0")
    return total, largest
