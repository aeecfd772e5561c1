"""Words, messages and senders out of updates of a bag-of-embeddings model; known texts, real rounds."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool
from fedlearn.attacks.changed_rows import ChangedRows
from fedlearn.attacks.labels import LabelCounts
from fedlearn.attacks.membership import Membership
from fedlearn.attacks.scores import adjusted_rand, auc, psnr, rouge, true_positives_at, unmixed
from fedlearn.attacks.senders import Senders, average_linkage
from fedlearn.attacks.unmix import Unmix, equal_rows, subset_sums
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.bags import Bags
from fedlearn.datasets.vocabulary import ExplicitVocabulary
from fedlearn.models.spam import SpamClassifier
from fedlearn.protocol import PartyView
from fedlearn.secure import Masks, Plain
from fedlearn.strategies import FedAvg
from scenarios.command.options import Options

VOCABULARY = 2000
WORDS = ExplicitVocabulary(map("".join, islice(product("abcdefghij", repeat=4), VOCABULARY)))
CODEC = FixedPoint(bits=28, bound=4.0, addends=100)
real = pytest.mark.skipif(
    not (Path(os.environ.get("FEDLEARN_DATA", "/nowhere")) / "SMSSpamCollection.tsv").exists(),
    reason="needs the SMS Spam Collection under FEDLEARN_DATA",
)


def messages(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """Messages of 8 to 15 words, common words far more often than rare ones."""
    odds = 1.0 / np.arange(3, VOCABULARY + 3)
    return [np.sort(rng.choice(VOCABULARY, rng.integers(8, 16), False, odds / odds.sum())) for _ in range(count)]


def client(rows: list[np.ndarray], rng: np.random.Generator) -> Client:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    labels = rng.integers(2, size=len(rows)).astype(np.float32)
    return Client("c", Bags(np.concatenate(rows).astype(np.int32), offsets, labels))


def recorded(folder: Path, held: list[list[np.ndarray]], strategy: FedAvg, protection=None, seed: int = 0) -> PartyView:
    rng = np.random.default_rng(seed)
    clients = [client(rows, rng) for rows in held]
    model = SpamClassifier(VOCABULARY, 16, rng=rng)
    run = RunFolder(folder, {}, {}, record=True)
    aggregator = Aggregator(model, strategy, protection or Plain(CODEC), vocabulary=WORDS.to_dict(), folder=run)
    aggregator.fit(InlinePool(clients), 1)
    return PartyView.load(folder)


def worded(rows: list[np.ndarray]) -> list[set[str]]:
    return [{WORDS.word(i) for i in row} for row in rows]


TRAINING = FedAvg(lr=0.5, max_weight=64)


@pytest.mark.parametrize("batch", [8, 16, 64])
@pytest.mark.parametrize("epochs", [1, 5])
@pytest.mark.parametrize("change", [
    {}, {"weight_decay": 1e-3}, {"weight_decay": 1e-3, "momentum": 0.9, "lr": 0.1},
    {"optimizer": "adam", "lr": 0.01}, {"optimizer": "adam", "lr": 0.01, "weight_decay": 1e-5},
])  # fmt: skip
def test_the_words_are_exact_whatever_the_local_training(tmp_path, batch, epochs, change):
    rows = messages(np.random.default_rng(batch + epochs), 64)
    strategy = replace(TRAINING, batch_size=batch, epochs=epochs, **change)
    (found,) = ChangedRows().run(recorded(tmp_path, [rows], strategy))
    assert set(found.words) == set().union(*worded(rows))


@pytest.mark.parametrize("change", [{}, {"optimizer": "adam", "lr": 0.01}])
def test_weight_decay_hides_nothing_in_an_update_with_nearly_every_word(tmp_path, change):
    order = np.random.default_rng(12).permutation(VOCABULARY)[: VOCABULARY - 50]
    rows = [np.sort(part) for part in np.array_split(order, 64)]
    strategy = replace(TRAINING, batch_size=8, epochs=2, weight_decay=1e-4, **change)
    (found,) = ChangedRows().run(recorded(tmp_path, [rows], strategy))
    assert set(found.words) == set().union(*worded(rows))


def test_one_step_of_adam_shows_signs_only_and_decay_can_outweigh_a_word(tmp_path):
    rows = messages(np.random.default_rng(65), 64)
    strategy = replace(TRAINING, batch_size=64, epochs=1, lr=0.01, weight_decay=1e-3, optimizer="adam")
    (found,) = ChangedRows().run(recorded(tmp_path, [rows], strategy))
    truth = set().union(*worded(rows))
    assert set(found.words) < truth
    assert len(found.words) > 0.9 * len(truth)


def test_weight_decay_is_seen_through_in_a_sum_of_unequal_clients(tmp_path):
    rng = np.random.default_rng(3)
    held = [messages(rng, size) for size in (6, 10, 16)]
    strategy = replace(TRAINING, weight_decay=1e-3, epochs=2, batch_size=8, max_weight=16)
    (found,) = ChangedRows().run(recorded(tmp_path, held, strategy, Masks(CODEC)))
    assert set(found.words) == set().union(*(set().union(*worded(rows)) for rows in held))


def test_messages_come_out_of_one_update_and_out_of_a_sum(tmp_path):
    rng = np.random.default_rng(5)
    held = [messages(rng, 8) for _ in range(3)]
    strategy = replace(TRAINING, epochs=5, batch_size=8, max_weight=8)
    (one,) = Unmix().run(recorded(tmp_path / "one", held[:1], strategy))
    score = unmixed(worded(held[0]), one.private, one.messages)
    assert (score.isolated, score.precision) == (1.0, 1.0)
    assert score.recall > 0.9
    (total,) = Unmix().run(recorded(tmp_path / "sum", held, strategy, Masks(CODEC)))
    score = unmixed([message for rows in held for message in worded(rows)], total.private, total.messages)
    assert (score.isolated, score.precision) == (1.0, 1.0)


def test_messages_stay_apart_under_adam(tmp_path):
    rows = messages(np.random.default_rng(6), 16)
    strategy = replace(TRAINING, epochs=5, batch_size=8, lr=0.01, max_weight=16, optimizer="adam")
    (found,) = Unmix().run(recorded(tmp_path, [rows], strategy))
    score = unmixed(worded(rows), found.private, found.messages)
    assert (score.isolated, score.precision) == (1.0, 1.0)
    assert not any(found.shared)  # under Adam a word of two messages did not move by the sum of what they do


def test_messages_are_sorted_by_sender(tmp_path):
    """Each sender's own words, so that every message can be told; rounded to 2^-16."""
    rng = np.random.default_rng(7)
    own = np.array_split(rng.permutation(VOCABULARY), 6)
    held = [[np.sort(rng.choice(words, 12, False)) for _ in range(4)] for words in own]
    strategy = replace(TRAINING, epochs=5, batch_size=2, max_weight=4)
    (found,) = Senders().run(recorded(tmp_path, held, strategy, Masks(replace(CODEC, bits=20))))
    everything = [set().union(*worded(rows)) for rows in held]
    truth = [next(i for i, words in enumerate(everything) if set(message) <= words) for message in found.messages]
    assert len(truth) > 10
    assert adjusted_rand(truth, found.senders.tolist()) > 0.95


def test_members_score_above_others(tmp_path):
    rng = np.random.default_rng(9)
    rows, strangers = messages(rng, 16), messages(rng, 100)
    view = recorded(tmp_path, [rows], replace(TRAINING, epochs=5, batch_size=8, max_weight=16))
    candidates = tuple(tuple(sorted(message)) for message in worded(rows) + worded(strangers))
    (found,) = Membership(candidates).run(view)
    assert auc(found.scores[:16], found.scores[16:]) > 0.99
    (words,) = Membership().run(view)
    assert {w for (w,), s in zip(words.candidates, words.scores, strict=True) if s} == set().union(*worded(rows))


@pytest.mark.parametrize("count", [1, 16, 64])
def test_spam_is_counted_off_one_bias(tmp_path, count):
    rng = np.random.default_rng(11)
    rows = messages(rng, count)
    view = recorded(tmp_path, [rows], replace(TRAINING, epochs=1, batch_size=64, max_weight=64))
    (found,) = LabelCounts().run(view)
    spam = int(client(rows, np.random.default_rng(0)).data.labels.sum())
    assert sum(found.counts) == count
    assert abs(found.counts[1] - spam) <= (count > 1) + (count > 16)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_subset_sums_are_found_and_only_those(seed):
    rng = np.random.default_rng(seed)
    atoms = rng.normal(0, 1e5, (12, 16))
    truth = {12 + k: tuple(sorted(rng.choice(12, size, False).tolist())) for k, size in enumerate((2, 3, 4, 2, 3))}
    rows = np.concatenate([atoms, [atoms[list(parts)].sum(axis=0) for parts in truth.values()]])
    slack = np.full(rows.shape, 0.5)
    noisy = rows + rng.uniform(-0.4, 0.4, rows.shape)
    found = subset_sums(noisy, slack)
    assert all(parts in ((), truth.get(i)) for i, parts in found.items())
    assert {i for i, parts in truth.items() if len(parts) < 4} <= {i for i, parts in found.items() if parts}


def test_where_chance_finds_sums_none_is_claimed():
    rows = np.arange(1.0, 41.0)[:, None] @ np.ones((1, 4))  # every whole number is the sum of two others
    assert subset_sums(rows * 100, np.full((40, 4), 60.0)) == {}


def test_equal_rows_are_grouped():
    rows = np.array([[5.0, 5.0], [9.0, 9.0], [5.2, 4.9], [9.1, 9.0], [-5.0, 5.0]])
    assert [group.tolist() for group in equal_rows(rows, np.full(rows.shape, 0.5))] == [[0, 2], [1, 3], [4]]


def test_scores_agree_with_scikit_learn():
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.metrics import adjusted_rand_score, roc_auc_score

    rng = np.random.default_rng(0)
    members, others = rng.integers(0, 9, 40).astype(float) + 1, rng.integers(0, 9, 70).astype(float)
    expected = roc_auc_score([1] * 40 + [0] * 70, np.concatenate([members, others]))
    assert auc(members, others) == pytest.approx(expected)
    one, two = rng.integers(4, size=50).tolist(), rng.integers(4, size=50).tolist()
    assert adjusted_rand(one, two) == pytest.approx(adjusted_rand_score(one, two))
    points = rng.normal(size=(30, 3))
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    theirs = AgglomerativeClustering(5, metric="precomputed", linkage="average").fit_predict(apart)
    assert adjusted_rand(average_linkage(apart, 5).tolist(), theirs.tolist()) == 1.0


def test_scores_by_hand():
    assert true_positives_at(np.array([3.0, 2.0, 0.0]), np.arange(100) / 50, 0.01) == pytest.approx(2 / 3)
    assert rouge(["the", "cat", "sat"], ["the", "cat", "ran"], 1) == pytest.approx(2 / 3)
    assert rouge(["the", "cat", "sat"], ["the", "cat", "ran"], 2) == pytest.approx(1 / 2)
    assert psnr(np.zeros(4), np.full(4, 0.1)) == pytest.approx(20.0)


@real
def test_real_messages_come_out_of_an_update(tmp_path):
    from scenarios.leak_unmix import run

    outcome = run(Options(data="sms_spam", out=tmp_path / "run"))
    claims = {claim.name: claim.value for claim in outcome.claims}
    for size, recall in ((8, 0.93), (16, 0.8), (32, 0.75)):  # one seed; medians over five are higher
        assert claims[f"isolated_{size}"] == 1.0
        assert claims[f"precision_{size}"] > 0.995
        assert claims[f"recall_{size}"] >= recall
