from __future__ import annotations

import logging
import re

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from fedlearn.datasets import load_corpus, split
from fedlearn.datasets.sample_phrases import BOTH, HAM, SPAM, WORDS
from fedlearn.datasets.tokens import tokenize


def test_the_sample_is_the_same_for_everybody():
    sample = load_corpus("sample")
    assert len(sample) == 3000
    assert sample.sha256 == "10ef4b5baca8e69c2eba6b195020ee7d2206ea7538cddce28ada82ce108c9711"


def test_it_is_announced_as_synthetic(caplog):
    with caplog.at_level(logging.WARNING, logger="fedlearn.datasets"):
        sample = load_corpus("sample")
    assert sample.synthetic
    assert [record.message for record in caplog.records if "built-in sample: synthetic" in record.message]


def test_every_word_list_is_used_and_every_field_has_one():
    phrases = [*BOTH, *(p for kind in (HAM, SPAM) for topic in kind.values() for p in topic)]
    assert {field for phrase in phrases for field in re.findall(r"\{(\w+)\}", phrase)} == set(WORDS)
    assert not any("{" in text or "}" in text for text in load_corpus("sample").texts)


def test_users_differ_in_spam_length_and_words():
    sample = load_corpus("sample")
    users = np.array(sample.users)
    lengths = np.array([len(tokenize(text)) for text in sample.texts])
    assert {"bob", "alice", "sue"} < set(users)
    spam = {user: sample.labels[users == user].mean() for user in set(users)}
    length = {user: lengths[users == user].mean() for user in set(users)}
    assert max(spam.values()) > 4 * min(spam.values())
    assert max(length.values()) > 2 * min(length.values())
    words = {u: {t for i in np.flatnonzero(users == u) for t in tokenize(sample.texts[i])} for u in ("bob", "alice")}
    assert 0.3 < len(words["bob"] & words["alice"]) / len(words["bob"] | words["alice"]) < 0.9


def test_some_messages_repeat_exactly():
    sample = load_corpus("sample")
    assert 0.80 < len(sample.without_duplicates()) / len(sample) < 0.95


def test_it_is_neither_trivial_nor_hopeless():
    scores = []
    for seed in range(5):
        train, test = split(load_corpus("sample"), seed=seed)
        counter = CountVectorizer(tokenizer=tokenize, token_pattern=None, binary=True)
        model = LogisticRegression(max_iter=1000).fit(counter.fit_transform(train.texts), train.labels)
        scores.append(model.score(counter.transform(test.texts), test.labels))
    assert 0.95 < np.median(scores) < 0.99
