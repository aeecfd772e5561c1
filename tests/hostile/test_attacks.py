"""Every attack of the registry on transcripts that nobody expects: weights that diverged, updates that are odd.

Each finds something that can be said in JSON, whose numbers are finite, or raises `NotReadable`; none warns or hangs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool
from fedlearn.attacks import ATTACKS
from fedlearn.attacks.base import Attack, NotReadable
from fedlearn.datasets.bags import encode_texts
from fedlearn.datasets.examples import Arrays
from fedlearn.datasets.vocabulary import ExplicitVocabulary
from fedlearn.models.chars import CharLSTM
from fedlearn.models.mlp import MLP
from fedlearn.models.spam import SpamClassifier
from fedlearn.protocol import PartyView, TrainRequest, Update
from fedlearn.strategies import FedAvg
from tests.hostile.inputs import in_one_line, with_one
from tests.toys import toy_codec, toy_plain

pytestmark = pytest.mark.filterwarnings("error")

TEXTS = ["my computer password is pizza", "meet the dog", "the dog is a pizza"]
WORDS = ExplicitVocabulary(sorted(set(" ".join(TEXTS).split()) | {"tomorrow", "we"}))
FEW = {"iterations": 3, "restarts": 1, "changes": 6, "turns": 1}
CODEC = toy_codec()


@pytest.fixture(scope="module")
def views(tmp_path_factory) -> dict[str, PartyView]:
    """A recorded run of each kind of model, in the plain."""
    folder, rng = tmp_path_factory.mktemp("runs"), np.random.default_rng(0)
    ids = rng.permutation(12)[None, :7]
    bags = [encode_texts([text], np.array([i % 2]), WORDS) for i, text in enumerate(TEXTS)]
    runs: dict[str, tuple[Any, list[Any], dict[str, Any], FedAvg]] = {
        "characters": (CharLSTM(12, 16, rng=rng), [Arrays(ids[:, :-1], ids[:, 1:])], {"characters": "abcdefghijkl"},
                       FedAvg(batch_size=1, lr=0.5, max_weight=1)),
        "numbers": (MLP((4, 6, 3), rng=rng), [Arrays(rng.random((2, 4), np.float32), np.array([2, 0]))], {},
                    FedAvg(batch_size=2, lr=0.5, max_weight=2)),
        "words": (SpamClassifier(len(WORDS), 4, rng=rng), bags, WORDS.to_dict(),
                  FedAvg(batch_size=1, lr=0.5, max_weight=1, momentum=0.5, weight_decay=0.1)),
    }  # fmt: skip
    for kind, (model, data, vocabulary, strategy) in runs.items():
        run = RunFolder(folder / kind, {}, {}, record=True)
        clients = [Client(f"c{i}", part) for i, part in enumerate(data)]
        Aggregator(model, strategy, toy_plain(), vocabulary=vocabulary, folder=run).fit(InlinePool(clients), 1)
    return {kind: PartyView.load(folder / kind) for kind in runs}


def with_weights(view: PartyView, change: Callable[[np.ndarray], np.ndarray]) -> PartyView:
    return _with(view, TrainRequest, lambda body: replace(body, weights=change(body.weights).astype(np.float32)))


def with_updates(view: PartyView, change: Callable[[np.ndarray], np.ndarray]) -> PartyView:
    def other(body: Any) -> Any:
        values = np.frombuffer(body.payload, CODEC.dtype)
        return replace(body, payload=np.asarray(change(values)).astype(CODEC.dtype).tobytes())

    return _with(view, Update, other)


def _with(view: PartyView, kind: Any, other: Callable[[Any], Any]) -> PartyView:
    changed = (replace(m, body=other(m.body)) if isinstance(m.body, kind) else m for m in view.messages)
    return replace(view, messages=tuple(changed))


def bookkeeping_left(change: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.concatenate([np.broadcast_to(change(x[:-5]), x[:-5].shape), x[-5:]])


WEIGHTS = {
    "nan": lambda w: with_one(w, np.nan),
    "inf": lambda w: with_one(w, np.inf),
    "all nan": lambda w: np.full_like(w, np.nan),
    "huge": lambda w: w * 1e30,
    "tiny": lambda w: w * 1e-40,
    "zeros": np.zeros_like,
}
UPDATES = {
    "zeros": bookkeeping_left(lambda x: 0),
    "all equal": bookkeeping_left(lambda x: 7),
    "one number": bookkeeping_left(lambda x: np.arange(x.size) == 3),
    "the largest": bookkeeping_left(lambda x: CODEC.limit),
    "noise": bookkeeping_left(lambda x: np.random.default_rng(0).integers(-CODEC.limit, CODEC.limit, x.size)),
    "the reverse": bookkeeping_left(lambda x: x[::-1]),
    "all zero": np.zeros_like,
    "no weight": lambda x: np.where(np.arange(x.size) == x.size - 5, 0, x),
    "a negative weight": lambda x: np.where(np.arange(x.size) == x.size - 5, -1, x),
    "a large weight": lambda x: np.where(np.arange(x.size) == x.size - 5, 10_000, x),
    "shorter": lambda x: x[:-1],
    "nothing": lambda x: x[:0],
    "longer": lambda x: np.append(x, x),
}


def hostile(view: PartyView) -> Iterator[tuple[str, PartyView]]:
    for name, change in WEIGHTS.items():
        yield f"weights {name}", with_weights(view, change)
    for name, change in UPDATES.items():
        yield f"updates {name}", with_updates(view, change)
    yield "no requests", replace(view, messages=tuple(m for m in view.messages if not isinstance(m.body, TrainRequest)))


def attack_of(name: str) -> Attack:
    kind = ATTACKS.load(name)
    return kind(**{field.name: FEW[field.name] for field in fields(kind) if field.name in FEW})


@pytest.mark.parametrize("name", ATTACKS.entries)
def test_odd_transcripts_are_read_or_refused(name, views):
    for kind, view in views.items():
        for odd, changed in hostile(view):
            try:
                findings = attack_of(name).run(changed)
            except NotReadable as refusal:
                in_one_line(refusal)
                continue
            for finding in findings:
                assert str(finding), (kind, odd)
                json.dumps(finding.to_dict(), allow_nan=False)
