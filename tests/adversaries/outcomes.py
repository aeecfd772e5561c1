"""The outcomes of random runs: one at a time, and counted."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.adversaries.random_runs import PROTECTIONS, check, random_run

LONGEST = 120.0  # seconds: some deadlines, and starting processes on a busy machine


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run. fault: what must not be, "" where all is well. void: rounds that did not count."""

    protection: str
    seed: int
    what: str
    fault: str
    void: int
    seconds: float

    def __str__(self) -> str:
        came = f"{self.void} rounds void" if self.void else "all rounds counted"
        return f"{self.seed:>6} {self.what}: {came}, {self.seconds:.1f} s{f': {self.fault}' if self.fault else ''}"


def tried(protection: str, seed: int) -> Outcome:
    """One random run, and whether all held that must."""
    began, fault, void, what = time.monotonic(), "", 0, protection
    with TemporaryDirectory() as folder:
        try:
            run = random_run(protection, seed, Path(folder))
            what, void = run.what, sum(record.void is not None for record in run.records)
            check(run, Path(folder))
        except Exception:
            fault = traceback.format_exc()
    seconds = time.monotonic() - began
    if multiprocessing.active_children():
        fault += "a process is left running"
    if seconds > LONGEST:
        fault += "it hung"
    return Outcome(protection, seed, what, fault, void, seconds)


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """A line a protection, and what its parties did."""
    lines = []
    for name in PROTECTIONS:
        under = [outcome for outcome in outcomes if outcome.protection == name]
        ways = Counter(way for outcome in under for way in outcome.what.split() if way.startswith(("a_", "an_")))
        lines.append(
            f"{name}: {len(under)} runs, {sum(bool(outcome.fault) for outcome in under)} faults, "
            f"{sum('groups' in outcome.what for outcome in under)} in groups, "
            f"{sum('noise' in outcome.what for outcome in under)} with noise, "
            f"{sum(outcome.void for outcome in under)} rounds void, "
            f"slowest {max((outcome.seconds for outcome in under), default=0.0):.1f} s; "
            + ", ".join(f"{count} {way}" for way, count in sorted(ways.items()))
        )
    return lines
