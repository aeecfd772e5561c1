"""Every function, class and method of the rooms that hold data, with arguments that nobody expects.

Each gives a result or raises a typed error in one line; none warns. The table is made of the modules' public names: a
new function is in it by itself, and `ORDINARY` must say what an ordinary argument of each name is.
"""

from __future__ import annotations

import inspect
import itertools
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedlearn import datasets
from fedlearn.datasets import Arrays, Corpus, ExplicitVocabulary, HashedVocabulary, Reading, bags, dense, text
from tests.hostile.inputs import NO_NUMBERS, NUMBERS, ODD_ARGUMENTS, attempt, public_functions

pytestmark = pytest.mark.filterwarnings("error")

ROOM = "fedlearn.datasets"
MODULES = [
    import_module(f"{ROOM}.{name}")
    for name in ("bags", "corpus", "dense", "examples", "sequences", "speakers", "text", "tokens", "vocabulary")
]
TEXTS = tuple(f"{text} {i}" for i in range(3) for text in ("see you", "win a prize", "at nine", "buy now"))
CORPUS = Corpus("mine", TEXTS, np.array([0, 1] * 6, np.int8), ("ann", "bob", "sue") * 4, False, "", "")
WORDS = HashedVocabulary(8)
WORD_LIST = Path(tempfile.mkdtemp(), "words")
WORD_LIST.write_text("see\nyou\n")
PLAY = text.Script("play", "OTTO: Is it late?\nIDA: It is.\n" * 3, "", "")
ROWS = np.arange(24.0).reshape(12, 2) % 5
SAMPLES = dense.Samples.of("mine", ROWS, np.array([0, 1] * 6), source="")
ALPHABET = text.Alphabet("abc ")
BAGS = bags.encode(CORPUS, WORDS)
INSTANCES: list[Any] = [
    CORPUS, WORDS, ExplicitVocabulary(["see", "you"]), PLAY, SAMPLES, ALPHABET, BAGS, Arrays(ROWS, np.arange(12)),
    dense.Scale.of(ROWS),
]  # fmt: skip
ORDINARY: dict[str, Any] = {  # by the name of a parameter
    "corpus": CORPUS, "vocabulary": WORDS, "texts": CORPUS.texts, "labels": CORPUS.labels, "rows": [[1, 2], []],
    "indices": [0, 2], "order": np.array([1, 0]), "test_fraction": 0.25, "seed": 0, "strata": np.array([0, 1] * 6),
    "rng": np.random.default_rng(0), "public": ROWS, "features": ROWS, "samples": SAMPLES,
    "scale": dense.Scale.of(ROWS),
    "per_arm": 5, "arms": 2, "turns": 0.5, "noise": 0.1, "longest": 4, "text": "abc cab", "held_out": 0.25,
    "alphabet": ALPHABET, "length": 2, "ids": np.array([0, 1]), "data": b"abc", "name": "mine", "source": "here",
    "tokens": ["see", "you"], "words": ["see", "you"], "token": "see", "buckets": 8, "values": WORDS.to_dict(),
    "argument": __file__, "size": 3, "index": 1, "users": CORPUS.users, "synthetic": False, "digest": "ab",
    "named": ("a", "b"), "notes": ("note",), "offsets": BAGS.offsets, "inputs": ROWS, "targets": np.arange(12),
    "name_or_file": "sample", "how": Reading(), "mean": np.zeros(2), "deviation": np.ones(2),
    "sha256": "", "classes": ("ham", "spam"), "scaled": True, "encoding": None, "skip_bad": False,
}  # fmt: skip


# What only this package calls, with what it has checked.
NOT_OF_USERS = {"bags_of", "in_rows", "cut_stratified", "listed", "bucket", "fold", "Arrays.layout"}


def calls() -> dict[str, Callable[..., Any]]:
    """Every function, constructor and method, by name."""
    found = {name: getattr(datasets, name) for name in ("load_anything", "load_corpus", "load_samples", "load_script")}
    for module in MODULES:
        found |= {name: call for name, call in public_functions(module).items() if name not in NOT_OF_USERS}
    for instance in INSTANCES:
        kind = type(instance)
        found[kind.__name__] = kind
        for name in dir(kind):
            method = None if name.startswith("_") else inspect.getattr_static(kind, name)
            if f"{kind.__name__}.{name}" in NOT_OF_USERS:
                continue
            if inspect.isfunction(method) or isinstance(method, classmethod):
                found[f"{kind.__name__}.{name}"] = getattr(instance, name)
    return found


CALLS = calls()


def ordinary(name: str) -> dict[str, Any]:
    given = {}
    for parameter in inspect.signature(CALLS[name]).parameters:
        assert parameter in ORDINARY or (name, parameter) in NAMED, f"{name}: say what an ordinary {parameter} is"
        given[parameter] = NAMED.get((name, parameter), ORDINARY.get(parameter))
    return given


NAMED: dict[tuple[str, str], Any] = {  # where a name means something else
    ("load_samples", "name_or_file"): "spirals",
    ("load_script", "name_or_file"): "sample_play",
    ("ExplicitVocabulary.from_spec", "argument"): str(WORD_LIST),
    ("Bags", "indices"): BAGS.indices,
    ("ExplicitVocabulary.from_dict", "values"): {"words": ["see"]},
    ("Corpus", "notes"): (),
    ("Samples", "classes"): 2,
    ("Arrays", "features"): ROWS,
}
ODD = [*ODD_ARGUMENTS, [None], [[1], [2, 3]], ["word"], [b"bytes"], np.zeros(3), np.zeros((2, 0)), np.zeros(2, object)]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_ordinary_arguments_are_taken(name):
    assert not isinstance(attempt(CALLS[name], **ordinary(name)), Exception)


@pytest.mark.parametrize("name", CALLS)
def test_odd_arguments_are_taken_or_refused(name):
    for parameter, odd in itertools.product(ordinary(name), ODD):
        attempt(CALLS[name], **ordinary(name) | {parameter: odd})
    for parameter, usual in ordinary(name).items():
        if isinstance(usual, np.ndarray):
            for change in (NUMBERS | NO_NUMBERS).values():
                attempt(CALLS[name], **ordinary(name) | {parameter: change(usual)})
