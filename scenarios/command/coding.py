"""How updates become whole numbers, as `--codec` and `--sparsify` say: the codec, and what compresses beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from fedlearn.crypto import FixedPoint
from fedlearn.crypto.codec import Overflow, Rounding
from fedlearn.errors import BadInput
from fedlearn.secure.compression import NO_COMPRESSION, Compression
from fedlearn.spec import Key, read_settings
from scenarios.command.options import Options

KEYS = {
    "bits": Key(int, example="24"),
    "bound": Key(float | Literal["auto"], example="4"),
    "addends": Key(int, example="100"),
    "overflow": Key(Overflow, example="clip"),
    "rounding": Key(Rounding, example="stochastic"),
    "feedback": Key(bool, example="true"),
    "most_clipped": Key(float, example="0.1"),
}
COMPRESSING = ("feedback", "most_clipped")


def said(options: Options) -> dict[str, Any]:
    """The values that --codec names, by name."""
    return read_settings(options.codec or None, KEYS, "codec", positional=False)


def codec(options: Options, **defaults: Any) -> FixedPoint:
    """The codec; what is not named keeps its default, and a bound that follows updates begins with the default."""
    values = {name: value for name, value in said(options).items() if name not in COMPRESSING}
    if values.get("bound") != "auto":
        return FixedPoint(**defaults | values)
    smallest = FixedPoint(**defaults | {"overflow": "clip"} | values | {"bound": 1.0})  # any bits hold it
    return replace(smallest, bound=min(defaults["bound"], float(smallest.limit)))


def with_codec(options: Options, codec: FixedPoint) -> Options:
    """The same options with this codec of whole numbers, as if it had been typed."""
    return replace(options, codec=f"bits={codec.bits},bound={codec.bound:.0f},addends={codec.addends}")


def compression(options: Options) -> Compression:
    """The way in which updates are compressed beside the codec."""
    values = said(options)
    given: dict[str, Any] = {name: values[name] for name in COMPRESSING if name in values}
    if options.sparsify is not None:
        given["share"] = options.sparsify
    return Compression(auto=values.get("bound") == "auto", **given)


def check_uncompressed(options: Options, where: str) -> None:
    """Raise `BadInput` for what compresses where there are no updates, but counts that must be exact."""
    if compression(options) != NO_COMPRESSION or said(options).get("rounding") == "stochastic":
        raise BadInput(f"--codec {options.codec} compresses updates, {where} are exact: give bits, bound and addends")
