"""`fedlearn bench robust`: robust rules on one thread, beside byzfl where it is installed."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from aggregator.robust import Beside, as_rule
from fedlearn.wording import many
from scenarios.bench.claims import result_of
from scenarios.bench.crypto import best_of

VECTORS, WEIGHTS, MALICIOUS = 100, 100_000, 20
LIBRARIES = ("numpy", "scipy", "byzfl", "torch")
Theirs = Callable[[np.ndarray], np.ndarray]

# Of byzfl's what does the same with the same settings: its Krum counts n - f - 1 neighbours, its median takes 3 steps.
RULES: dict[str, Callable[[Any, int], Theirs] | None] = {
    "median": lambda b, f: b.Median(),
    "trimmed:f={f}": lambda b, f: b.TrMean(f),
    "meamed:f={f}": lambda b, f: b.Meamed(f),
    "krum:f={f},neighbours=n-f-1": lambda b, f: b.Krum(f),
    "multikrum:f={f},neighbours=n-f-1": lambda b, f: b.MultiKrum(f),
    "geomed:steps=32,floor=0.1": lambda b, f: b.GeometricMedian(nu=0.1, T=32),
    "centred:steps=1,radius=100": lambda b, f: b.CenteredClipping(L=1, tau=100.0),
    "normclip:bound=300": lambda b, f: lambda vectors: b.Average()(b.Clipping(300.0)(own(vectors))),
    "nnm+trimmed:f={f}": lambda b, f: lambda vectors: b.TrMean(f)(b.NNM(f)(vectors)),
    "arc+trimmed:f={f}": lambda b, f: lambda vectors: b.TrMean(f)(b.ARC(f)(own(vectors))),
    "bucketing:size=2+median": lambda b, f: lambda vectors: b.Median()(b.Bucketing(2)(vectors)),
    "bulyan:f={f}": None,
    "fltrust": None,
}


def own(vectors: Any) -> Any:
    """A copy, for what changes its input: tensors are cloned before."""
    return vectors.copy() if isinstance(vectors, np.ndarray) else vectors


@dataclass(frozen=True)
class Row:
    """Milliseconds of one core's time for a rule, the best of several runs; None where byzfl has none or is missing.

    byzfl: on NumPy arrays, as ours. byzfl_torch: on tensors, as its own training has them.
    """

    rule: str
    ours: float
    byzfl: float | None
    byzfl_torch: float | None


def run(json: bool) -> dict[str, Any]:
    """Measure everything; print a table, or with `json` one JSON object as the last line. Takes about a minute."""
    vectors = np.random.default_rng(0).normal(0, 1, (VECTORS, WEIGHTS)).astype(np.float32)
    library = byzfl()
    if library is not None:
        library.torch.set_num_threads(1)
    with threadpool_limits(1):
        rows = [measure(spec.format(f=MALICIOUS), theirs, library, vectors) for spec, theirs in RULES.items()]
    beside = {"vectors": VECTORS, "weights": WEIGHTS, "malicious": MALICIOUS}
    result = result_of("robust", LIBRARIES, rows, _claims(rows), **beside)
    print(jsonlib.dumps(result) if json else _table(result))
    return result


def measure(spec: str, theirs: Callable[[Any, int], Theirs] | None, library: Any, vectors: np.ndarray) -> Row:
    """Both sides of one rule."""
    rule, beside = as_rule(spec), Beside(trusted=vectors[0])
    seconds, _ = best_of(lambda: rule(vectors, beside))
    if library is None or theirs is None:
        return Row(spec, 1000 * seconds, None, None)
    work, tensors = theirs(library, MALICIOUS), library.torch.from_numpy(vectors)
    on_arrays, _ = best_of(lambda: work(vectors))
    work = theirs(library, MALICIOUS)  # some remember what they were given
    on_tensors, _ = best_of(lambda: work(tensors.clone()))
    return Row(spec, 1000 * seconds, 1000 * on_arrays, 1000 * on_tensors)


def byzfl() -> ModuleType | None:
    """Its rules and what it does before them, in one namespace; None where it or torch is missing.

    Its package imports torchvision at the top, which no rule needs: they are imported as if that file were empty.
    """
    spec = find_spec("byzfl") if "byzfl" not in sys.modules else sys.modules["byzfl"].__spec__
    if spec is None or find_spec("torch") is None:
        return None
    package = ModuleType("byzfl")
    package.__spec__, package.__path__ = spec, list(spec.submodule_search_locations or ())
    sys.modules["byzfl"] = package
    both = ModuleType("both")
    for part in ("aggregators", "preaggregators"):
        vars(both).update(vars(import_module(f"byzfl.aggregators.{part}")))
    return both


def _claims(rows: list[Row]) -> dict[str, tuple[float, str]]:
    found = {"slowest_rule": (max(row.ours for row in rows), "ms")}
    ratios = {row.rule.partition(":")[0]: row.byzfl / row.ours for row in rows if row.byzfl is not None}
    if ratios:
        found["least_over_byzfl"] = min(ratios.values()), "times"
        found |= {f"{name}_over_byzfl": (ratio, "times") for name, ratio in ratios.items()}
    return found


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{many(result['vectors'], 'vector')} of {many(result['weights'], 'weight')}, f={result['malicious']}, one "
        "thread:",
        "",
        "| rule | fedlearn, ms | byzfl, ms | times quicker | byzfl on tensors, ms |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        theirs = ["-"] * 3
        if row["byzfl"] is not None:
            times = row["byzfl"] / row["ours"]
            theirs = [f"{row['byzfl']:,.0f}", f"{times:.1f}", f"{row['byzfl_torch']:,.0f}"]
        lines.append(f"| {row['rule']} | {row['ours']:,.0f} | {' | '.join(theirs)} |")
    return "\n".join(lines)
