"""The attack reads plain updates and opened sums off a recorded transcript, and says so when it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool
from fedlearn.attacks.base import NotReadable
from fedlearn.attacks.changed_rows import ChangedRows
from fedlearn.datasets.bags import encode_texts
from fedlearn.datasets.vocabulary import ExplicitVocabulary, HashedVocabulary
from fedlearn.models.spam import SpamClassifier
from fedlearn.protocol import PartyView
from tests.toys import toy_paillier, toy_plain, toy_strategy

WORDS = ExplicitVocabulary(["a", "computer", "dog", "is", "meet", "my", "password", "pizza", "the", "tomorrow", "we"])
TEXTS = ["my computer password is pizza", "meet the dog", "the dog is a pizza"]


class Unnamed(ExplicitVocabulary):
    """Words that the plan says nothing of."""

    def to_dict(self) -> dict[str, Any]:
        return {}


def view(tmp_path, protection, texts=TEXTS, dim=1, vocabulary=WORDS, party=-1) -> PartyView:
    clients = [Client(f"c{i}", encode_texts([text], np.array([i % 2]), vocabulary)) for i, text in enumerate(texts)]
    folder = RunFolder(tmp_path, {}, {}, record=True)
    model = SpamClassifier(len(vocabulary), dim, rng=np.random.default_rng(0))
    aggregator = Aggregator(model, toy_strategy(), protection, vocabulary=vocabulary.to_dict(), folder=folder)
    aggregator.fit(InlinePool(clients), 1)
    return PartyView.load(tmp_path, party)


@pytest.mark.parametrize("dim", [1, 8])
def test_plain_updates_name_exactly_each_clients_words(tmp_path, dim):
    found = {finding.about: set(finding.words) for finding in ChangedRows().run(view(tmp_path, toy_plain(), dim=dim))}
    assert found == {f"client:{i}": set(text.split()) for i, text in enumerate(TEXTS)}


@pytest.mark.parametrize("dim", [1, 8])
def test_an_opened_sum_names_the_union_and_nobody(tmp_path, dim):
    (finding,) = ChangedRows().run(view(tmp_path, toy_paillier(), dim=dim))
    assert finding.about == "sum"
    assert set(finding.words) == set(" ".join(TEXTS).split())


def test_without_a_readable_vector_it_says_so(tmp_path):
    with pytest.raises(NotReadable, match="encrypted"):
        ChangedRows().run(view(tmp_path, toy_paillier(), party=1))  # a client never sees an opened sum


def test_a_plan_without_a_vocabulary_is_not_called_hashed(tmp_path):
    with pytest.raises(NotReadable, match="names no vocabulary"):
        ChangedRows().run(view(tmp_path, toy_plain(), vocabulary=Unnamed(WORDS.words)))


def test_hashed_rows_are_no_words(tmp_path):
    with pytest.raises(NotReadable, match="hashed"):
        ChangedRows().run(view(tmp_path, toy_plain(), vocabulary=HashedVocabulary(64)))
