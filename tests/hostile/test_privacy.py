"""What counts privacy, adds noise and keeps the ledger, with arguments that nobody expects."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from fedlearn.privacy import (
    AnalyticGaussian,
    DiscreteGaussian,
    GaussianMechanism,
    Ledger,
    Pld,
    Privacy,
    Rdp,
    Release,
    Terms,
    accounting,
    audit,
    ledger,
)
from fedlearn.privacy.ledger import Row
from tests.hostile.table import Table

pytestmark = pytest.mark.filterwarnings("error")

FOLDER = Path(tempfile.mkdtemp())
ROW = Row("session", 1, 0, 0.5, 1.0, 1)
MECHANISM = GaussianMechanism(1.0, 2**10, 6.0, 3, 0.8)
TERMS = Terms("clients", 1.0, 0.3, 2**10, 6.0, 3, 0.8, 7, adaptive=0.5)
SCORES = np.array([2.0, -1.0, 0.5, 3.0, -2.0, 0.0])
SUM = np.array([3, -7, 0, 120], np.int64)


def some_ledger() -> Ledger:
    return Ledger.create(Path(tempfile.mkdtemp(dir=FOLDER)) / "ledger")


some_ledger().path.rename(FOLDER / "ledger")
TABLE = Table(
    [accounting, audit, ledger],
    {
        AnalyticGaussian: lambda: AnalyticGaussian(1.0),
        DiscreteGaussian: lambda: DiscreteGaussian(4, bytes(32)),
        GaussianMechanism: lambda: MECHANISM,
        Ledger: some_ledger,
        Pld: lambda: Pld(0.05),
        Privacy: lambda: Privacy(noise=1.0, clip=0.3),
        Rdp: Rdp,
        Release: lambda: Release(0.5, 1.0),
        Row: lambda: ROW,
        Terms: lambda: TERMS,
    },
    {
        "delta": 1e-3, "epsilon": 2.0, "rate": 0.5, "noise": 1.0, "count": 3, "q": 0.5, "mu": 1.0, "sigma": 4,
        "clip": 0.3, "steps": 2**10, "expected": 6.0, "min_cohort": 3, "honest": 0.8, "seed": 7, "step": 0.05,
        "key": bytes(32), "n": 5, "releases": [Release(0.5, 1.0, 2)], "rows": (ROW,), "row": ROW, "session": "session",
        "round": 1, "attempt": 0, "path": lambda: Path(tempfile.mkdtemp(dir=FOLDER)) / "new", "accountant": Rdp(),
        "Rdp.noise/releases": lambda: lambda noise: [Release(0.5, noise, 2)],
        "Pld.noise/releases": lambda: lambda noise: [Release(0.5, noise, 2)],
        "Ledger.load/path": FOLDER / "ledger", "digest": "0" * 64, "at_least": 0, "text": "noise=1,clip=0.3",
        "clients": 6, "protection": "paillier", "able": ("clients",), "where": "clients", "limit": 2**23,
        "Terms.read/data": TERMS.to_dict(), "updates": np.array([[0.1, -0.2, 0.0, 0.05]], np.float32), "total": SUM,
        "length": 4, "whose": 0, "by": "clients", "scores": SCORES, "members": SCORES > 0, "guesses": 4, "correct": 3,
        "canaries": 6, "confidence": 0.95, "seen": SCORES, "took_part": np.ones((3, 6), bool),
        "scores_of_cohorts/seen": np.ones((3, 6)), "scores_of_models/seen": np.ones((3, 6)),
        "GaussianMechanism.encode/noise": None, "Privacy/epsilon": None, "Privacy/rate": None,
        "Privacy/examples": None, "Terms/rate": 1.0, "Terms.fitting/rate": 1.0, "answers": 3, "examples": 5,
        "client": 0,
    },
    {"Ledger": "use create, load or unkept", "Pld.bound": "of checked arguments", "Rdp.bound": "of checked arguments"},
)  # fmt: skip


@pytest.mark.parametrize("name", TABLE.calls)
def test_ordinary_arguments_are_taken(name):
    TABLE.check_ordinary(name)


@pytest.mark.parametrize("name", TABLE.calls)
def test_odd_arguments_are_taken_or_refused(name):
    TABLE.check_odd(name)
