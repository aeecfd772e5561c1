"""Kill a run with SIGKILL at random moments, resume it, kill it again...: does it end with the same model?

    python -m scenarios.bench.kill_and_resume --times 20

Each run is a real `fedlearn run` in a process of its own, killed up to three times, at moments drawn uniformly from
the time that an uninterrupted one takes from the first file in its folder to the last: processes start, rounds run.
Its workers and key holder are not killed: they have to notice. Takes some minutes.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fedlearn.wording import many

PATIENCE = 120.0  # seconds that workers and key holder are given to notice that the run is gone
SPAM = ["run", "spam", "--vocabulary", "hashed:512", "--epochs", "1", "--quiet", "--json"]
CASES = {
    "none, inline": [*SPAM, "--protection", "none", "--rounds", "40"],
    "paillier, processes": [
        *SPAM, "--protection", "paillier", "--key-bits", "512", "--insecure-test-key", "--pool", "processes",
        "--rounds", "15",
    ],
}  # fmt: skip


@dataclass
class Result:
    """How the killed runs of one case went. in_training: kills after a round was kept; failures: one line each."""

    case: str
    runs: int = 0
    kills: int = 0
    in_training: int = 0
    failures: list[str] = field(default_factory=list)


def main(
    times: Annotated[int, typer.Option(help="Runs of each case.")] = 20,
    case: Annotated[str | None, typer.Option(help="Only this one: " + " | ".join(CASES))] = None,
    seed: Annotated[int | None, typer.Option(help="Of the moments (default: other ones every time).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line of output.")] = False,
) -> None:
    """Exit status 0 where every run ended with the model of the uninterrupted one and left no process behind."""
    seed = secrets.randbits(32) if seed is None else seed
    results = [measure(name, times, np.random.default_rng(seed)) for name in ([case] if case else CASES)]
    if as_json:
        typer.echo(json.dumps({"benchmark": "kill_and_resume", "seed": seed, "rows": [r.__dict__ for r in results]}))
    else:
        for result in results:
            good = result.runs - len(result.failures)
            typer.echo(
                f"{result.case:<22}{good} of {many(result.runs, 'run')} end with the hash of the uninterrupted one; "
                f"{result.kills} kills, {result.in_training} of them after a round was kept"
            )
    for failure in (failure for result in results for failure in result.failures):
        typer.echo(failure, err=True)
    raise typer.Exit(any(result.failures for result in results))


def measure(case: str, times: int, rng: np.random.Generator, most: int = 3, options: Sequence[str] = ()) -> Result:
    """Kill and resume `times` runs of a case, one after the other, each 1 to `most` times. options: of the runs."""
    result = Result(case)
    arguments = [*CASES[case], *options]
    with tempfile.TemporaryDirectory(prefix="fedlearn-kill-") as parent:
        home = Path(parent)
        expected, seconds = _go_on(arguments, home / "whole")
        for number in range(times):
            folder, kills = home / f"run-{number}", 0
            for delay in rng.uniform(0, seconds, rng.integers(1, most, endpoint=True)):
                found, _ = _go_on(arguments, folder, delay)
                kills += found is None
                result.in_training += found is None and any(folder.glob("checkpoint/round-*.safetensors"))
                if found is not None:  # it was quicker: only a folder of its own can be killed again
                    shutil.rmtree(folder)
            found, _ = _go_on(arguments, folder)
            result.runs += 1
            result.kills += kills
            if found != expected:
                result.failures.append(f"{case}, run {number}: {found}, the uninterrupted run has {expected}")
    return result


def _go_on(arguments: list[str], folder: Path, delay: float | None = None) -> tuple[str | None, float]:
    """Start or resume the run in `folder`, and kill it `delay` seconds after it has written there.

    Its model's SHA-256, None where it was killed, and the seconds from then on.
    """
    begun = _written(folder)
    if not begun:  # killed before there was anything to go on with
        shutil.rmtree(folder, ignore_errors=True)
    resume = ["--resume"] if begun else []
    command = [sys.executable, "-m", "scenarios.command.main", *arguments, "--out", str(folder), *resume]
    with open(folder.with_suffix(".out"), "w+") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env=os.environ | {"TMPDIR": str(folder.parent)},
        )  # fmt: skip
        while process.poll() is None and _written(folder) == begun:
            time.sleep(0.002)
        began = time.perf_counter()
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        seconds = time.perf_counter() - began
        alone = left_alone(process.pid)
        output.seek(0)
        printed = output.read()
    if not alone:
        raise SystemExit(f"processes of a killed run are still there after {PATIENCE} s: {folder}")
    if process.returncode == -signal.SIGKILL:
        return None, seconds
    if process.returncode:
        return f"exit status {process.returncode}: {printed[-500:]}", seconds
    return json.loads(printed.splitlines()[-1])["model_sha256"], seconds


def _written(folder: Path) -> int:
    """The time at which run.json was written, which every start does first; 0 before."""
    return (folder / "run.json").stat().st_mtime_ns if (folder / "run.json").exists() else 0


def left_alone(session: int) -> bool:
    """True where all processes of a session end in time."""
    end = time.monotonic() + PATIENCE
    while members(session):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def members(session: int) -> list[int]:
    """The processes of a session (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, number = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # ended meanwhile
            continue
        if int(number) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


if __name__ == "__main__":
    typer.run(main)
