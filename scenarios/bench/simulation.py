"""`fedlearn bench simulation`: client updates a second of the small workload, measured here and now.

A thousand clients of twenty digits, a network of 2,410 weights, a hundred clients a round, one epoch in batches of
ten, twenty rounds, evaluated after each; sampling, records and transcript included. Beside it the same training as
a bare NumPy loop, and those of Flower, pfl and FedJAX that are installed (extra `bench`), each in a process of its
own. Each figure has its floor beside it, measured in turns with it: what bare NumPy takes for the same training
(floors.py). The best of many runs counts: what disturbs a measurement only ever lengthens it. At the end two worker
processes stand beside one (simulation_workers.py).
"""

from __future__ import annotations

import json as jsonlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool
from fedlearn.autograd import no_grad
from fedlearn.datasets.bags import Bags
from fedlearn.metrics import class_metrics
from fedlearn.models.mlp import MLP
from fedlearn.models.spam import SpamClassifier
from fedlearn.secure import Plain
from fedlearn.seeding import stream
from fedlearn.strategies import FedAvg
from fedlearn.wording import many
from scenarios.bench import floors, simulation_workers
from scenarios.bench.claims import claims_of, result_of
from scenarios.bench.simulation_others import OTHERS
from scenarios.bench.workload import BATCH, CODEC, COHORT, EXAMPLES, LR, ROUNDS, Workload, workload

BUDGET = 6.0  # seconds for each figure
VOCABULARY, DIM, MAILS, WORDS = 35_000, 16, 64, 50  # words drawn for each mail by Zipf's law, before repeats go
SPAM_ROUNDS, SPAM_BATCH = 3, 32
LOOP, BATCHED, MAILBOXES = "bare NumPy loop", "bare NumPy, a cohort batched", "bare NumPy loop over mailboxes"
POPULATIONS = (10_000, 100_000)


@dataclass(frozen=True)
class Row:
    """One way to run the workload: updates a second, the seconds of the whole, and its process's peak memory.

    floor: the row of bare NumPy that does the same training, if there is one.
    """

    name: str
    updates_per_second: float
    seconds: float
    megabytes: float | None = None
    floor: str | None = None


def run(json: bool) -> dict[str, Any]:
    """Measure everything; print a table, or with `json` one JSON object as the last line. Takes some minutes."""
    data, mails = workload(1000), mailboxes(COHORT)
    works: dict[str, tuple[Callable[[], object], str | None]] = {
        LOOP: (partial(floors.loop, data), None),
        BATCHED: (partial(floors.batched, data), None),
    }
    for stack, name, floor in (("on", "stacked", BATCHED), ("off", "one by one", LOOP)):
        for transcript in ("digest", "full"):
            works[f"{name}, {transcript}"] = (partial(digits, data, stack, transcript), floor)
    rows = in_turns(works, ROUNDS)
    rows += in_turns(
        {MAILBOXES: (partial(bare_spam, mails), None), "spam": (partial(spam, mails), MAILBOXES)}, SPAM_ROUNDS
    )
    rows += [row for row in map(other, OTHERS) if row]
    rows += [whole_process(count) for count in POPULATIONS]
    workers = simulation_workers.figures(data)
    result = result_of("simulation", ["numpy"], rows, workers)
    result["machine"]["load"] = os.getloadavg()[0]
    result["claims"] = claims({row.name: row for row in rows}) + result["claims"]
    print(jsonlib.dumps(result) if json else "\n".join([table(rows), *simulation_workers.told(workers)]))
    return result


def in_turns(works: dict[str, tuple[Callable[[], object], str | None]], rounds: int) -> list[Row]:
    """Rows of pieces of work, by name with their floors: each runs once a turn, and the best of the turns counts."""
    least, spent = dict.fromkeys(works, float("inf")), 0.0
    while spent < BUDGET * len(works):
        for name, (work, _) in works.items():
            began = time.perf_counter()
            work()
            seconds = time.perf_counter() - began
            least[name], spent = min(least[name], seconds), spent + seconds
    return [Row(name, COHORT * rounds / least[name], least[name], floor=floor) for name, (_, floor) in works.items()]


def digits(data: Workload, stack: str, transcript: str) -> None:
    """The workload on this project's own engine, in a run folder."""
    model = MLP((64, 32, 10), rng=stream(0, "model"))

    def evaluate(model: MLP) -> dict[str, float]:
        with no_grad():
            return class_metrics(model(data.exam.features).numpy(), data.exam.targets)

    with tempfile.TemporaryDirectory() as parent:
        folder = RunFolder(Path(parent) / "run", {"seed": 0}, {"name": "digits"}, transcript=transcript)
        strategy = FedAvg(1, BATCH, LR, max_weight=EXAMPLES)
        aggregator = Aggregator(
            model, strategy, Plain(CODEC), cohort=COHORT, evaluate=evaluate, folder=folder, stack=stack
        )
        aggregator.fit(InlinePool(data), ROUNDS, progress=False)


def bare_spam(clients: list[Client]) -> None:
    """The floor of `spam`."""
    model = SpamClassifier(VOCABULARY, DIM, rng=stream(0, "model"))
    floors.mailboxes(clients, [parameter.numpy().copy() for parameter in model.parameters()], SPAM_ROUNDS, SPAM_BATCH)


def mailboxes(count: int) -> list[Client]:
    """Clients of `MAILS` mails each, their words drawn by Zipf's law from the whole vocabulary."""
    rng = stream(0, "sample")
    odds = 1 / np.arange(1, VOCABULARY + 1)
    clients = []
    for number in range(count):
        drawn = rng.choice(VOCABULARY, (MAILS, WORDS), p=odds / odds.sum()).astype(np.int32)
        mails = [np.unique(row) for row in drawn]
        offsets = np.cumsum([0, *(len(mail) for mail in mails)])
        labels = rng.integers(2, size=MAILS).astype(np.float32)
        clients.append(Client(f"mailbox-{number}", Bags(np.concatenate(mails), offsets, labels)))
    return clients


def spam(clients: list[Client]) -> None:
    """Two steps on each of a hundred mailboxes a round."""
    model = SpamClassifier(VOCABULARY, DIM, rng=stream(0, "model"))
    Aggregator(model, FedAvg(1, SPAM_BATCH, LR, max_weight=MAILS), Plain(CODEC)).fit(
        InlinePool(clients), SPAM_ROUNDS, progress=False
    )


def other(name: str) -> Row | None:
    """The workload on another library, where it is installed and can run it."""
    done = _measured([sys.executable, "-m", "scenarios.bench.simulation_others", name])
    if done is None:
        print(f"{name}: not installed here, or it could not run the workload", file=sys.stderr)
        return None
    output, _, megabytes = done
    seconds = float(output.splitlines()[-1])
    return Row(name, COHORT * ROUNDS / seconds, seconds, megabytes)


def whole_process(clients: int) -> Row:
    """`fedlearn run digits` from start to end."""
    with tempfile.TemporaryDirectory() as parent:
        options = ["--clients", str(clients), "--rounds", str(ROUNDS), "--quiet"]
        command = [sys.executable, "-m", "fedlearn", "run", "digits", *options]
        runs = [_measured([*command, "--out", f"{parent}/{number}"]) for number in range(3)]
    good = [(seconds, megabytes) for _, seconds, megabytes in filter(None, runs)]
    seconds, megabytes = min(good)
    return Row(f"fedlearn run digits, {many(clients, 'client')}", COHORT * ROUNDS / seconds, seconds, megabytes)


# A process counts the memory of whoever started it as its own peak, so a small one starts what is measured.
_STARTER = (
    "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done.returncode)"
)


def _measured(command: list[str]) -> tuple[str, float, float] | None:
    """Output, seconds and peak megabytes of a command; None where it failed."""
    began = time.perf_counter()
    one_thread = os.environ | {"OPENBLAS_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    started = [sys.executable, "-S", "-c", _STARTER, *command]
    done = subprocess.run(started, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=one_thread, text=True)
    if done.returncode:
        return None
    output, _, kilobytes = done.stdout.rstrip().rpartition("\n")
    return output, time.perf_counter() - began, int(kilobytes) / 1024


def claims(rows: dict[str, Row]) -> list[dict[str, Any]]:
    """The figures under the names that the documentation uses."""
    stacked = rows["stacked, full"].updates_per_second
    found = [
        ("stacked_digest", rows["stacked, digest"].updates_per_second, "1/s"),
        ("stacked_full", stacked, "1/s"),
        ("one_by_one_digest", rows["one by one, digest"].updates_per_second, "1/s"),
        ("one_by_one_full", rows["one by one, full"].updates_per_second, "1/s"),
        ("numpy_loop", rows[LOOP].updates_per_second, "1/s"),
        ("numpy_batched", rows[BATCHED].updates_per_second, "1/s"),
        ("numpy_mailboxes", rows[MAILBOXES].updates_per_second, "1/s"),
        ("spam", rows["spam"].updates_per_second, "1/s"),
    ]
    for name, row in rows.items():
        if row.floor:
            ratio = row.updates_per_second / rows[row.floor].updates_per_second
            found.append((f"{name.replace(', ', '_').replace(' ', '_')}_of_floor", ratio, ""))
    for count in POPULATIONS:
        row = rows[f"fedlearn run digits, {many(count, 'client')}"]
        found += [(f"seconds_{count}", row.seconds, "s"), (f"megabytes_{count}", row.megabytes or 0.0, "MB")]
    found += [(f"times_{name}", stacked / rows[name].updates_per_second, "") for name in OTHERS if name in rows]
    return claims_of({name: (value, unit) for name, value, unit in found})


def table(rows: list[Row]) -> str:
    rates = {row.name: row.updates_per_second for row in rows}
    lines = [f"{'':<40}{'updates/s':>12}{'of floor':>10}{'seconds':>10}{'peak MB':>10}"]
    for row in rows:
        memory = f"{row.megabytes:>10.0f}" if row.megabytes else f"{'-':>10}"
        share = f"{row.updates_per_second / rates[row.floor]:>10.2f}" if row.floor else f"{'-':>10}"
        lines.append(f"{row.name:<40}{row.updates_per_second:>12,.0f}{share}{row.seconds:>10.3f}{memory}")
    return "\n".join(lines)
