"""`fedlearn bench engine`: training steps of this engine beside PyTorch's and bare NumPy's, measured here and now.

One thread each, in one process, taking turns; the least time of many runs counts, since what disturbs a
measurement only ever lengthens it. PyTorch is the extra `bench`, numba the extra `fast`; without them their
columns are empty.
"""

from __future__ import annotations

import gc
import json as jsonlib
import time
from dataclasses import dataclass
from typing import Any

from fedlearn.autograd.memory import keep_freed
from fedlearn.autograd.program import recorded_steps
from scenarios.bench.claims import result_of
from scenarios.bench.engine_cases import Case, Step, cases

SECONDS = 4.0  # for each case
LIBRARIES = ("numpy", "torch", "numba")


@dataclass(frozen=True)
class Row:
    """Microseconds of one step: ours, PyTorch's, and the floor, which is bare NumPy's; `clients` how many it trains.

    ratio and over_floor: ours over PyTorch's, and over the floor. kept: bytes that recorded steps keep, 0 on the tape.
    """

    name: str
    ours: float
    torch: float | None
    ratio: float | None
    clients: int
    floor: float | None
    over_floor: float | None
    kept: int = 0


def run(json: bool) -> dict[str, Any]:
    """Measure everything; print a table, or with `json` one JSON object as the last line. Takes about a minute."""
    from threadpoolctl import threadpool_limits

    keep_freed()
    with threadpool_limits(1):
        rows = [measure(case) for case in cases()]
    result = result_of("engine", LIBRARIES, rows, {name: claim for row in rows for name, claim in _claims(row).items()})
    print(jsonlib.dumps(result) if json else _table(rows))
    return result


def measure(case: Case) -> Row:
    """Time all sides of a case in turns."""
    gc.collect()  # what the case before recorded
    before = recorded_steps().bytes
    steps = {"ours": case.ours(), "torch": _theirs(case), "floor": case.floor() if case.floor else None}
    least = {side: float("inf") for side, step in steps.items() if step}
    spent, began = 0.0, time.perf_counter()
    while spent < SECONDS:
        for side in least:
            step = steps[side]
            assert step is not None
            least[side] = min(least[side], _time(step))
        spent = time.perf_counter() - began
    ours, torch, floor = (least.get(side) for side in steps)
    assert ours is not None
    kept = recorded_steps().bytes - before
    return Row(case.name, ours, torch, torch and ours / torch, case.clients, floor, floor and ours / floor, kept)


def _theirs(case: Case) -> Step | None:
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    return case.torch() if case.torch else None


def _time(step: Step, least: float = 0.02) -> float:
    """Microseconds of one step, over as many as last `least` seconds."""
    count, spent, begin = 0, 0.0, time.perf_counter()
    while spent < least:
        step()
        count += 1
        spent = time.perf_counter() - begin
    return spent / count * 1e6


def _claims(row: Row) -> dict[str, tuple[float, str]]:
    found = {}
    if row.ratio is not None:
        found[f"{row.name}_over_torch"] = row.ratio, "times"
    if row.over_floor is not None:
        found[f"{row.name}_over_floor"] = row.over_floor, "times"
    if row.clients > 1:
        found[f"{row.name}_rate"] = row.clients / row.ours * 1e6, "client-steps/s"
    return found


def _table(rows: list[Row]) -> str:
    width = max(len(row.name) for row in rows)
    heads = f"{'torch, us':>10}  {'ratio':>6}  {'floor, us':>10}  {'ratio':>6}  {'kept, kB':>8}"
    lines = [f"{'step':<{width}}  {'ours, us':>10}  {heads}"]
    for row in rows:
        others = [(row.torch, row.ratio), (row.floor, row.over_floor)]
        cells = [f"{'-':>10}  {'-':>6}" if time is None else f"{time:>10.0f}  {ratio:>6.2f}" for time, ratio in others]
        cells.append(f"{row.kept / 1000:>8.0f}" if row.kept else f"{'-':>8}")
        lines.append(f"{row.name:<{width}}  {row.ours:>10.0f}  {'  '.join(cells)}")
    return "\n".join(lines)
