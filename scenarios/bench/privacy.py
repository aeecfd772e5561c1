"""`fedlearn bench privacy`: exact noise, beside OpenDP where installed; a client's encoding; seconds of an epsilon."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from fedlearn.privacy import ACCOUNTANTS, Accountant, DiscreteGaussian, GaussianMechanism, Release
from scenarios.bench.claims import result_of, table_of
from scenarios.bench.crypto import best_of

SIGMAS = (1, 20, 1000, 1 << 20)
SIZE, THEIR_SIZE = 1_000_000, 20_000
WEIGHTS = 2_410
ROUNDS, RATE, DELTA = 60, 0.1, 1e-5
LIBRARIES = ("numpy", "scipy", "cryptography", "gmpy2", "opendp")


@dataclass(frozen=True)
class Row:
    """Exact discrete Gaussian values a second of one core's time, the best of several runs; None: not installed."""

    sigma: int
    ours: float
    opendp: float | None


def run(json: bool) -> dict[str, Any]:
    """Measure everything; print a table, or with `json` one JSON object as the last line. Takes half a minute."""
    rows = [measure(sigma) for sigma in SIGMAS]
    result = result_of("privacy", LIBRARIES, rows, _claims(rows))
    print(jsonlib.dumps(result) if json else _table(result))
    return result


def measure(sigma: int) -> Row:
    """Both libraries at one sigma."""
    source = DiscreteGaussian(sigma)
    seconds, _ = best_of(lambda: source.sample(SIZE))
    theirs = opendp_sampler(sigma)
    if theirs is None:
        return Row(sigma, SIZE / seconds, None)
    their_seconds, _ = best_of(lambda: theirs(THEIR_SIZE))
    return Row(sigma, SIZE / seconds, THEIR_SIZE / their_seconds)


def opendp_sampler(sigma: int) -> Callable[[int], list[int]] | None:
    """n -> draws of OpenDP's discrete Gaussian mechanism on zeros; None where it is not installed."""
    try:
        import opendp.prelude as dp
    except ImportError:
        return None
    dp.enable_features("contrib")
    integers = dp.vector_domain(dp.atom_domain(T="i64"))
    mechanism = dp.m.make_gaussian(integers, dp.l2_distance(T="f64"), scale=float(sigma))
    return lambda n: mechanism([0] * n)


def _claims(rows: list[Row]) -> dict[str, tuple[float, str]]:
    found = {"slowest_sigma": (min(row.ours for row in rows), "values/s")}
    ratios = [row.ours / row.opendp for row in rows if row.opendp is not None]
    if ratios:
        found["least_over_opendp"] = min(ratios), "times"
    mechanism = GaussianMechanism(noise=1.0, steps=1 << 15, expected=83.0, min_cohort=57)
    update = np.random.default_rng(0).normal(0, 0.1, WEIGHTS)
    found[f"encode_{WEIGHTS}_weights"] = 1000 * best_of(lambda: mechanism.encode(update, 0.3))[0], "ms"
    for name in ACCOUNTANTS.entries:
        found[f"{name}_{ROUNDS}_rounds"] = _seconds_of(ACCOUNTANTS.load(name)()), "s"
    return found


def _seconds_of(accountant: Accountant) -> float:
    """Of one epsilon, of other noise each time, so that none is remembered."""
    releases = (Release(RATE, 1 + 1e-9 * i, ROUNDS) for i in count())
    return best_of(lambda: accountant.epsilon([next(releases)], DELTA))[0]


def _table(result: dict[str, Any]) -> str:
    lines = ["| sigma | fedlearn, values/s | OpenDP, values/s |", "|---|---|---|"]
    for row in result["rows"]:
        theirs = "not installed" if row["opendp"] is None else f"{row['opendp']:,.0f}"
        lines.append(f"| {row['sigma']} | {row['ours']:,.0f} | {theirs} |")
    return "\n".join([*lines, "", *table_of(result["claims"])])
