"""A sum without what is known of it tells the words of one client."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn.attacks.base import NotReadable
from fedlearn.attacks.differencing import Collusion, Differencing
from fedlearn.datasets.bags import encode_texts
from tests.attacks.test_changed_rows import TEXTS, WORDS, view
from tests.toys import toy_paillier, toy_plain

FOUR = [*TEXTS, "we meet tomorrow"]
LAST = {"we", "meet", "tomorrow"}


@pytest.fixture(scope="module")
def everybody(tmp_path_factory):
    return view(tmp_path_factory.mktemp("everybody"), toy_paillier(), FOUR)


def test_all_but_one_find_the_words_of_the_one(everybody):
    known = {i: encode_texts([text], np.array([i % 2]), WORDS) for i, text in enumerate(TEXTS)}
    (finding,) = Collusion(known).run(everybody)
    assert set(finding.words) == LAST
    assert str(finding).startswith("round 1, the client left: ")


def test_two_sessions_that_differ_by_one_client_differ_by_its_words(everybody, tmp_path):
    (finding,) = Differencing(view(tmp_path, toy_paillier())).run(everybody)
    assert set(finding.words) == LAST


def test_two_sessions_from_different_models_tell_nothing(everybody, tmp_path):
    with pytest.raises(NotReadable, match="trained from different models: their difference is no update"):
        Differencing(view(tmp_path, toy_paillier(), dim=2)).run(everybody)


def test_plain_updates_need_no_subtracting(tmp_path):
    with pytest.raises(NotReadable, match="holds no opened sum"):
        Collusion({}).run(view(tmp_path, toy_plain()))
