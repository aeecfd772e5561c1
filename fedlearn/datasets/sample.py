"""The built-in sample: short messages to six made-up users, so that everything runs without a download.

Synthetic, and announced as such whenever it is loaded. It is meant to behave like mail, not to be mail:
users differ in how much spam they get, what they talk about and how long they write; ham and spam share
words; spam is sent in waves, so that some messages repeat exactly.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from fedlearn.datasets.corpus import HAM as HAM_LABEL
from fedlearn.datasets.corpus import SPAM as SPAM_LABEL
from fedlearn.datasets.corpus import Corpus
from fedlearn.datasets.dataset import MESSAGES, GeneratedSet
from fedlearn.datasets.sample_phrases import BOTH, HAM, SPAM, WORDS

SEED = 20_150_807
REPEATED_SPAM = 0.12  # share of spam that repeats an earlier spam word for word
UNDECIDED = 0.06  # share of messages that consist of phrases used in ham and spam alike
FIELD = re.compile(r"\{(\w+)\}")
log = logging.getLogger("fedlearn.datasets")


@dataclass(frozen=True)
class Habit:
    """How one user's mail looks: topics drawn by weight, one to `most` phrases in a message."""

    messages: int
    spam: float
    most: int
    ham_topics: Mapping[str, int]
    spam_topics: Mapping[str, int]
    lower: bool = False


HABITS = {
    "bob": Habit(620, 0.20, 2, {"sport": 5, "friends": 3, "home": 1}, {"prizes": 4, "shares": 1}, lower=True),
    "alice": Habit(580, 0.35, 3, {"work": 5, "family": 2, "home": 2}, {"accounts": 3, "loans": 2, "shares": 2}),
    "sue": Habit(540, 0.50, 2, {"family": 5, "friends": 2, "home": 2}, {"shops": 4, "prizes": 2, "chat": 1}),
    "tom": Habit(500, 0.12, 1, {"study": 5, "friends": 4, "sport": 1}, {"chat": 3, "prizes": 2}, lower=True),
    "nina": Habit(440, 0.65, 3, {"work": 3, "study": 2, "friends": 2}, {"loans": 3, "accounts": 3, "shops": 2}),
    "omar": Habit(320, 0.28, 2, {"home": 3, "sport": 2, "work": 2}, {"shares": 3, "chat": 2, "shops": 1}),
}


def generate() -> Corpus:
    """The sample: 3,000 messages, the same for everybody."""
    rng = np.random.default_rng(SEED)
    rows = [row for user, habit in HABITS.items() for row in _mailbox(user, habit, rng)]
    users, labels, texts = zip(*(rows[i] for i in rng.permutation(len(rows))), strict=True)
    lines = "".join(f"{u}\t{y}\t{t}\n" for u, y, t in zip(users, labels, texts, strict=True))
    log.warning("built-in sample: synthetic messages written by this program, not real mail")
    return Corpus(
        name="sample",
        texts=texts,
        labels=np.array(labels, dtype=np.int8),
        users=users,
        synthetic=True,
        sha256=sha256(lines.encode()).hexdigest(),
        source="built-in sample: synthetic, generated from templates",
    )


def _mailbox(user: str, habit: Habit, rng: np.random.Generator) -> list[tuple[str, int, str]]:
    rows: list[tuple[str, int, str]] = []
    sent: list[str] = []
    for _ in range(habit.messages):
        if rng.random() >= habit.spam:
            rows.append((user, HAM_LABEL, message(HAM, habit.ham_topics, habit, rng)))
            continue
        repeat = sent and rng.random() < REPEATED_SPAM
        sent.append(_pick(sent, rng) if repeat else message(SPAM, habit.spam_topics, habit, rng))
        rows.append((user, SPAM_LABEL, sent[-1]))
    return rows


def message(
    phrases: Mapping[str, Sequence[str]], topics: Mapping[str, int], habit: Habit, rng: np.random.Generator
) -> str:
    """One to `habit.most` of the phrases of a topic, which is drawn by the weights of `topics`."""
    topic = _pick([name for name, weight in topics.items() for _ in range(weight)], rng)
    source = BOTH if rng.random() < UNDECIDED else phrases[topic]
    parts = [_filled(_pick(source, rng), rng) for _ in range(rng.integers(1, habit.most + 1))]
    if habit.lower:
        return " ".join(parts).lower()
    return " ".join(part[0].upper() + part[1:] + ("" if part[-1] in "?!" else ".") for part in parts)


def _filled(phrase: str, rng: np.random.Generator) -> str:
    return FIELD.sub(lambda field: _pick(WORDS[field[1]], rng), phrase)


def _pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


SAMPLE = GeneratedSet(
    name="sample",
    task=MESSAGES,
    records="3,000 short messages",
    clients=f"{len(HABITS)} users",
    licence="that of this program",
    origin="synthetic: generated from templates and a fixed seed",
    generate=generate,
)
