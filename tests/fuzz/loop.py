"""The loop: damaged bytes to a reader, which takes them or refuses them by a typed error, soon and in little memory."""

from __future__ import annotations

import random
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from fedlearn.errors import FedlearnError
from tests.fuzz.mutate import damaged

SLOW = 1.0  # seconds of processor time for one input
LARGE = 500 << 20  # bytes, of the whole process: more than it had before, where it was as large already
_SHOWN = 400  # bytes of an input in a report


@dataclass(frozen=True)
class Reader:
    """A reader of others' bytes.

    samples: makes well-formed inputs, which damage starts from. read: takes bytes, and raises `FedlearnError` for bad
    ones. repair: gives damaged bytes a right checksum again, as an attacker would; tried on every other input.
    tokens: byte strings that mean something in this format. weight: inputs beside other readers'.
    """

    name: str
    samples: Callable[[], list[bytes]]
    read: Callable[[bytes], object]
    repair: Callable[[bytes], bytes] | None = None
    tokens: tuple[bytes, ...] = ()
    weight: float = 1.0


@dataclass
class Report:
    """What came of it; `failures` says what was wrong, by kind and place, with the input that showed it first."""

    reader: str
    inputs: int = 0
    taken: int = 0
    slowest: float = 0.0
    allowed: int = LARGE
    failures: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        memory = peak_memory() / (1 << 20)
        return (
            f"{self.reader:<20} {self.inputs:>9,} inputs, {self.taken:>7,} taken, slowest {self.slowest:5.3f} s, "
            f"{memory:4.0f} MB, {len(self.failures)} failures"
        )


def fuzz(reader: Reader, count: int, seed: int) -> Report:
    """Give `reader` its samples, which it must take, and `count` times `reader.weight` damaged inputs."""
    report, rng = Report(reader.name, allowed=max(LARGE, peak_memory())), random.Random(f"{reader.name}/{seed}")
    samples = reader.samples()
    for sample in samples:
        reader.read(sample)
    for place in range(max(1, round(count * reader.weight))):
        data = damaged(samples, reader.tokens, rng)
        if reader.repair is not None and rng.random() < 0.5:
            data = reader.repair(data)
        _feed(reader, data, place, report)
    return report


def _feed(reader: Reader, data: bytes, place: int, report: Report) -> None:
    report.inputs += 1
    start = time.thread_time()
    try:
        reader.read(data)
        report.taken += 1
    except FedlearnError as error:
        if not str(error).isprintable():
            _note(report, f"{type(error).__name__} with control characters: {str(error)!r:.200}", data, place)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        _note(report, f"{type(error).__name__} at {where}: {error!s:.200}", data, place)
    seconds = time.thread_time() - start
    report.slowest = max(report.slowest, seconds)
    if seconds > SLOW:
        _note(report, "slower than a second", data, place)
    if peak_memory() > report.allowed:
        _note(report, "more than 500 MB", data, place)


def _note(report: Report, what: str, data: bytes, place: int) -> None:
    key = what.partition(": ")[0]
    report.failures.setdefault(key, f"input {place} ({len(data)} bytes): {what}\n    {data[:_SHOWN].hex()}")


def peak_memory() -> int:
    """Most bytes that this process had resident."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
