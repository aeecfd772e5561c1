"""`fedlearn bench sums`: encrypted updates of few bits beside those of 24: how many a second, how large, how good.

Digits, 100 clients, 20 a round, in this process and that of the key holder. Rounds after the first are counted, by the
clock and by the processor time of all processes. Accuracy is that of 40 rounds under no protection, which gives the
same model; the mean of three seeds.
"""

from __future__ import annotations

import json as jsonlib
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from fedlearn.crypto import generate_keypair
from fedlearn.crypto.keyfiles import write_private, write_public
from fedlearn.secure.kept import PRIVATE, PUBLIC
from fedlearn.untrusted import content, from_json
from scenarios import digits
from scenarios.bench.claims import result_of, table_of
from scenarios.command.options import Options

KEY_BITS, ROUNDS = 3072, 10
LEARNING, SEEDS = 40, (0, 1, 2)
CLIENTS, COHORT = 100, 20
CODECS = {
    "24 bits": "",
    "8 bits, bound=auto": "bits=8,bound=auto",
    "4 bits, bound=auto, feedback": "bits=4,bound=auto,feedback=true",
}
LIBRARIES = ("numpy", "gmpy2", "phe")


@dataclass(frozen=True)
class Row:
    """Updates a second by the clock, and of one core's processor time; bytes of a client; the mean accuracy."""

    codec: str
    clock: float
    processor: float
    bytes: float
    accuracy: float


def run(json: bool) -> dict[str, Any]:
    """Measure everything; print a table, or with `json` one JSON object as the last line. Takes a minute."""
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        _make_keys(Path(folder))
        rows = [measure(name, codec, Path(folder)) for name, codec in CODECS.items()]
    result = result_of("sums", LIBRARIES, rows, _claims(rows))
    print(jsonlib.dumps(result) if json else _table(result))
    return result


def _make_keys(folder: Path) -> None:
    """Keys that all runs have, so that none spends its time on making some."""
    public, private = generate_keypair(KEY_BITS, insecure_test_key=KEY_BITS < 2048)
    write_public(folder / PUBLIC, public)
    write_private(folder / PRIVATE, private)


def measure(name: str, codec: str, folder: Path) -> Row:
    """One row. folder: of the keys, and for the runs."""
    place = Path(mkdtemp(dir=folder))
    first, _ = _encrypted(codec, folder, 1, place / "first")
    whole, rows = _encrypted(codec, folder, 1 + ROUNDS, place / "whole")
    updates = ROUNDS * COHORT
    clock = sum(value for row in rows[1:] for phase, value in row["seconds"].items() if phase != "evaluate")
    accuracies = [_accuracy(codec, seed, place / f"seed-{seed}") for seed in SEEDS]
    sent = sum(row["bytes_up"] for row in rows[1:]) / updates
    return Row(name, updates / clock, updates / (whole - first), sent, sum(accuracies) / len(SEEDS))


def _options(codec: str, out: Path, **given: Any) -> Options:
    return Options(clients=CLIENTS, cohort=COHORT, lr=0.5, codec=codec, out=out, **given)


def _encrypted(codec: str, folder: Path, rounds: int, out: Path) -> tuple[float, list[dict[str, Any]]]:
    """Processor seconds of a run with all its processes, and the records of its rounds."""
    before = _processor_time()
    digits.run(
        _options(codec, out, rounds=rounds, protection="paillier", keys=str(folder), insecure_test_key=KEY_BITS < 2048)
    )
    lines = content(out / "metrics.jsonl").splitlines()
    return _processor_time() - before, [from_json(line) for line in lines]


def _processor_time() -> float:
    """Of this process, and of its children that have ended; to the microsecond, where `os.times` has hundredths."""
    import resource  # not on Windows

    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(times.ru_utime + times.ru_stime for times in both)


def _accuracy(codec: str, seed: int, out: Path) -> float:
    return digits.run(_options(codec, out, rounds=LEARNING, seed=seed, protection="none")).metrics["accuracy"]


def _claims(rows: list[Row]) -> dict[str, tuple[float, str]]:
    found: dict[str, tuple[float, str]] = {}
    first, *few = rows
    for row in few:
        bits = row.codec.split(" ")[0]
        found[f"updates_per_second_{bits}_bits_over_24"] = row.clock / first.clock, "times"
        found[f"processor_updates_per_second_{bits}_bits_over_24"] = row.processor / first.processor, "times"
        found[f"bytes_{bits}_bits_over_24"] = row.bytes / first.bytes, "times"
        found[f"accuracy_{bits}_bits_minus_24"] = row.accuracy - first.accuracy, ""
    return found


def _table(result: dict[str, Any]) -> str:
    lines = ["| codec | updates/s | updates/s of processor time | bytes | accuracy |", "|---|---|---|---|---|"]
    for row in result["rows"]:
        figures = f"{row['clock']:.1f} | {row['processor']:.1f} | {row['bytes']:,.0f} | {row['accuracy']:.3f}"
        lines.append(f"| {row['codec']} | {figures} |")
    return "\n".join([*lines, "", *table_of(result["claims"])])
