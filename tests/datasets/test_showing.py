"""What holds somebody's data says in a line how much there is of it, and never what."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn.datasets import DATASETS, Arrays, Bags, ExplicitVocabulary, HashedVocabulary, load_corpus, load_samples
from fedlearn.datasets.dense import Samples
from fedlearn.datasets.examples import View
from fedlearn.datasets.text import Script
from fedlearn.protocol import PartyView

SECRET = Arrays(np.full((3, 4), 0.12345, np.float32), np.zeros(3, np.int64))
SHOWN = {
    "<Corpus sample: 3,000 messages (1,962 ham, 1,038 spam), 6 users>": lambda: load_corpus("sample"),
    "<Corpus sample: 0 messages (0 ham, 0 spam)>": lambda: load_corpus("sample").take([]),
    "<Bags: 2 messages of 3 words>": lambda: Bags(np.arange(3), np.array([0, 1, 3]), np.zeros(2)),
    "<Samples spirals: 300 of 2 numbers, 3 classes>": lambda: load_samples("spirals"),
    "<Samples a: 2 of 1 number, 1 class>": lambda: Samples("a", np.ones((2, 1)), np.zeros(2, int), 1, True, "", ""),
    "<Script a play: 6 characters>": lambda: Script("a play", "secret", "", ""),
    "<Arrays: 3 examples of shape (4,)>": lambda: SECRET,
    "<View: 2 of 3 examples>": lambda: View(SECRET, np.arange(2)),
    "<HashedVocabulary of 64 buckets>": lambda: HashedVocabulary(64),
    "<ExplicitVocabulary of 2 words>": lambda: ExplicitVocabulary(("you", "the")),
    "<PartyView of aggregator: 0 messages>": lambda: PartyView("aggregator", ()),
}


@pytest.mark.parametrize("line", SHOWN)
def test_a_line_says_how_much_and_never_what(line):
    assert repr(SHOWN[line]()) == line


def test_a_registry_shows_its_names():
    assert repr(DATASETS).startswith("<Registry, by data set: sample, sms_spam")
