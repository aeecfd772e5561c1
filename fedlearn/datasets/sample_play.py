"""The built-in play: people who talk past each other, so that character models run without a download.

Synthetic, and announced as such whenever it is loaded. Sixty speakers differ in how much they say and what of,
as clients should; the phrases are those of the built-in sample of messages.
"""

from __future__ import annotations

import logging

import numpy as np

from fedlearn.datasets.dataset import CHARACTERS, GeneratedSet
from fedlearn.datasets.sample import Habit, message
from fedlearn.datasets.sample_phrases import HAM, WORDS
from fedlearn.datasets.text import Script, parse_script

SEED = 16_160_423
TRADES = ("Baker", "Smith", "Miller", "Sailor", "Doctor")
SPEECHES = 1_200
log = logging.getLogger("fedlearn.datasets")


def generate() -> Script:
    """The play, the same for everybody."""
    rng = np.random.default_rng(SEED)
    speakers = [f"{name} the {trade}" for trade in TRADES for name in WORDS["friend"]]
    habits = [_habit(rng) for _ in speakers]
    talkative = rng.dirichlet(np.full(len(speakers), 3.0))
    order = rng.choice(len(speakers), SPEECHES, p=talkative)
    blocks = [f"{speakers[i]}:\n{message(HAM, habits[i].ham_topics, habits[i], rng)}\n" for i in order]
    log.warning("built-in play: synthetic speeches written by this program, not a play by anybody")
    return parse_script("\n".join(blocks).encode(), "sample_play", SAMPLE_PLAY.origin)


def _habit(rng: np.random.Generator) -> Habit:
    """One to three phrases a speech, mostly of two topics."""
    first, second = rng.choice(list(HAM), 2, replace=False)
    return Habit(0, 0.0, int(rng.integers(1, 4)), dict.fromkeys(HAM, 1) | {first: 6, second: 3}, {})


SAMPLE_PLAY = GeneratedSet(
    name="sample_play",
    task=CHARACTERS,
    records=f"{SPEECHES:,} speeches",
    clients=f"{len(TRADES) * len(WORDS['friend'])} speakers",
    licence="that of this program",
    origin="synthetic: generated from templates and a fixed seed",
    generate=generate,
)
