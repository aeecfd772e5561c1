"""Two worker processes beside one: seconds a round of stacked cohorts, for a small network and for a larger one.

What two can gain has a floor of its own: the same bare NumPy (floors.py) in two processes at once beside one alone.
Where a machine's two processors share one core, that is less than 2.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

from aggregator import Aggregator
from aggregator.history import RoundRecord
from clients import InlinePool, ProcessPool
from fedlearn.models.mlp import MLP
from fedlearn.protocol import Pool
from fedlearn.secure import Plain
from fedlearn.seeding import stream
from fedlearn.strategies import FedAvg
from scenarios.bench import floors
from scenarios.bench.workload import BATCH, CODEC, COHORT, EXAMPLES, LR, Workload

NETWORKS = {"small": ((64, 32, 10), 60), "large": ((64, 256, 128, 10), 12)}  # layers and rounds, by name
TURNS = 3
FLOOR_SECONDS = 2.0
Figures = dict[str, tuple[float, str]]


class Watch:
    """A tracker: the least time from the end of one round to the end of the next."""

    def __init__(self) -> None:
        self.least = math.inf
        self._last: float | None = None

    def begin(self, rounds: int, first: int) -> None: ...

    def round(self, record: RoundRecord) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self.least = min(self.least, now - self._last)
        self._last = now

    def end(self) -> None: ...


def figures(data: Workload) -> Figures:
    """By name: milliseconds of a round in this process, on one worker and on two; how many times quicker two are."""
    found: Figures = {"two_processes_floor": (two_at_once(data), "")}
    for name, (layers, rounds) in NETWORKS.items():
        least = dict.fromkeys(("inline", "one", "two"), math.inf)
        for _ in range(TURNS):
            pools: dict[str, Pool] = {
                "inline": InlinePool(data),
                "one": ProcessPool(data, 1),
                "two": ProcessPool(data, 2),
            }
            least = {way: min(least[way], a_round(layers, pool, rounds)) for way, pool in pools.items()}
        for way, seconds in least.items():
            found[f"{name}_round_{way}"] = (1000 * seconds, "ms")
        found[f"{name}_two_of_one"] = (least["one"] / least["two"], "")
    return found


def told(found: Figures) -> list[str]:
    """A line for each network, for people."""
    return [
        f"{name} network: a round takes {found[f'{name}_round_inline'][0]:.2f} ms in this process, "
        f"{found[f'{name}_round_one'][0]:.2f} on one worker, {found[f'{name}_round_two'][0]:.2f} on two: "
        f"{found[f'{name}_two_of_one'][0]:.2f} times as quick, "
        f"where bare NumPy in two processes does {found['two_processes_floor'][0]:.2f} times the work of one"
        for name in NETWORKS
    ]


def a_round(layers: Sequence[int], pool: Pool, rounds: int) -> float:
    """The least seconds of a round, nothing evaluated or kept."""
    watch = Watch()
    strategy = FedAvg(1, BATCH, LR, max_weight=EXAMPLES)
    model = MLP(tuple(layers), rng=stream(0, "model"))
    Aggregator(model, strategy, Plain(CODEC), cohort=COHORT, trackers=[watch], stack="on").fit(
        pool, rounds, progress=False
    )
    return watch.least


def two_at_once(data: Workload) -> float:
    """How many times the work of one process two do in the same time, that share nothing."""
    return 2 * _least(data, 1) / _least(data, 2)


def _least(data: Workload, processes: int) -> float:
    """The least seconds that the floor of the workload takes in one of so many processes at once."""
    context = multiprocessing.get_context("spawn")
    ends = [context.Pipe() for _ in range(processes)]
    children = [context.Process(target=_floor, args=(theirs, data), daemon=True) for _, theirs in ends]
    for child in children:
        child.start()
    for ours, _ in ends:
        ours.recv()  # it is ready
    for ours, _ in ends:
        ours.send(None)
    found: list[float] = [ours.recv() for ours, _ in ends]
    for child in children:
        child.join()
    return max(found)


def _floor(connection: Connection, data: Workload) -> None:
    floors.batched(data)
    connection.send(None)
    connection.recv()
    least, end = math.inf, time.perf_counter() + FLOOR_SECONDS
    while (began := time.perf_counter()) < end:
        floors.batched(data)
        least = min(least, time.perf_counter() - began)
    connection.send(least)
