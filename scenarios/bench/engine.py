"""`fedlearn bench engine`: training steps of this engine beside PyTorch's, measured here and now.

One thread each, in one process, taking turns; the least time of many runs counts, since what disturbs a
measurement only ever lengthens it. PyTorch is the extra `bench`, numba the extra `fast`; without them their
columns are empty.
"""

from __future__ import annotations

import json as jsonlib
import platform
import time
from dataclasses import asdict, dataclass
from typing import Any

from fedlearn.autograd.memory import keep_freed
from scenarios.bench.engine_cases import Case, Step, cases
from scenarios.bench.versions import installed

SECONDS = 4.0  # for each case
LIBRARIES = ("numpy", "torch", "numba")


@dataclass(frozen=True)
class Row:
    """Microseconds of one step; `ratio` is ours over PyTorch's, `clients` how many a step trains at once."""

    name: str
    ours: float
    torch: float | None
    ratio: float | None
    clients: int


def run(json: bool) -> dict[str, Any]:
    """Measure everything; print a table, or with `json` one JSON object as the last line. Takes about a minute."""
    from threadpoolctl import threadpool_limits

    keep_freed()
    with threadpool_limits(1):
        rows = [measure(case) for case in cases()]
    result = {
        "benchmark": "engine",
        "machine": {"processor": platform.processor(), "python": platform.python_version(), **installed(LIBRARIES)},
        "rows": [asdict(row) for row in rows],
        "claims": [claim for row in rows for claim in _claims(row)],
    }
    print(jsonlib.dumps(result) if json else _table(rows))
    return result


def measure(case: Case) -> Row:
    """Time both sides of a case in turns."""
    ours, theirs = case.ours(), _theirs(case)
    least = {"ours": float("inf"), "torch": float("inf")}
    spent, began = 0.0, time.perf_counter()
    while spent < SECONDS:
        least["ours"] = min(least["ours"], _time(ours))
        if theirs is not None:
            least["torch"] = min(least["torch"], _time(theirs))
        spent = time.perf_counter() - began
    if theirs is None:
        return Row(case.name, least["ours"], None, None, case.clients)
    return Row(case.name, least["ours"], least["torch"], least["ours"] / least["torch"], case.clients)


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


def _claims(row: Row) -> list[dict[str, Any]]:
    found = []
    if row.ratio is not None:
        found.append({"name": f"{row.name}_over_torch", "value": row.ratio, "unit": "times"})
    if row.clients > 1:
        rate = row.clients / row.ours * 1e6
        found.append({"name": f"{row.name}_rate", "value": rate, "unit": "client-steps/s"})
    return found


def _table(rows: list[Row]) -> str:
    width = max(len(row.name) for row in rows)
    lines = [f"{'step':<{width}}  {'ours, us':>10}  {'torch, us':>10}  {'ratio':>6}"]
    for row in rows:
        other = "-" if row.torch is None else f"{row.torch:.0f}"
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(f"{row.name:<{width}}  {row.ours:>10.0f}  {other:>10}  {ratio:>6}")
    return "\n".join(lines)
