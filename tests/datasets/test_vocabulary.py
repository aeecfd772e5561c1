from __future__ import annotations

import pickle
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.datasets import VOCABULARIES
from fedlearn.datasets.vocabulary import ExplicitVocabulary, HashedVocabulary, vocabulary_from_dict
from fedlearn.errors import BadInput

WORDS = st.lists(st.from_regex("[a-zäж]{1,6}|[0-9]{1,3}|[$!]", fullmatch=True), min_size=1, unique=True)


@given(st.lists(st.text()), st.integers(1, 2**20))
def test_hashed_ids_are_distinct_ascending_and_in_range(tokens, buckets):
    ids = HashedVocabulary(buckets).ids(tokens)
    assert ids.dtype == np.int32
    assert np.all(np.diff(ids) > 0)
    assert np.all((ids >= 0) & (ids < buckets))
    expected = {int.from_bytes(blake2b(t.encode(), digest_size=8).digest(), "little") % buckets for t in tokens}
    assert HashedVocabulary(buckets).ids(tokens).tolist() == ids.tolist()
    assert set(ids.tolist()) == expected


def test_hashing_is_the_same_in_every_process_and_release():
    assert HashedVocabulary().ids(["pizza", "password", "£"]).tolist() == [1478, 5795, 8609]


def test_buckets_fill_evenly():
    counts = np.zeros(64)
    for i in range(6400):
        counts[HashedVocabulary(64).ids([f"word {i}"])] += 1
    assert 35 < ((counts - 100) ** 2 / 100).sum() < 99  # chi-square, 63 degrees of freedom: 0.2 % to 99.8 %


@given(WORDS, st.lists(st.text()))
def test_explicit_ids_name_the_known_words(words, others):
    vocabulary = ExplicitVocabulary(words)
    ids = vocabulary.ids([*others, *words, *others])
    assert ids.dtype == np.int32
    assert ids.tolist() == list(range(len(words)))
    assert [vocabulary.word(i) for i in ids.tolist()] == words
    assert {vocabulary.word(i) for i in vocabulary.ids(others).tolist()} == set(others) & set(words)


@given(st.one_of(WORDS.map(ExplicitVocabulary), st.integers(1, 2**20).map(HashedVocabulary)), st.lists(st.text()))
def test_a_vocabulary_travels_as_plain_values(vocabulary, tokens):
    twin = vocabulary_from_dict(vocabulary.to_dict())
    assert type(twin) is type(vocabulary)
    assert len(twin) == len(vocabulary)
    assert np.array_equal(twin.ids(tokens), vocabulary.ids(tokens))


def test_the_commonest_words_of_public_texts_ties_in_alphabetical_order():
    texts = ["b a c", "b a d d d", "b e"]
    assert ExplicitVocabulary.from_public_texts(texts, 4).words == ("b", "a", "c", "d")
    assert ExplicitVocabulary.from_public_texts(texts, 99).words == ("b", "a", "c", "d", "e")
    tied = "zeta eta theta iota kappa lambda mu nu xi omicron"
    assert list(ExplicitVocabulary.from_public_texts([tied], 10).words) == sorted(tied.split())


def test_vocabularies_by_name(tmp_path):
    words = tmp_path / "words.txt"
    words.write_bytes(b"\xef\xbb\xbfpizza\r\npassword\r\n")  # as an editor on Windows saves it
    assert len(VOCABULARIES.parse("hashed")) == 2**14
    assert len(VOCABULARIES.parse("hashed:77")) == 77
    assert VOCABULARIES.parse(f"explicit:{words}").words == ("pizza", "password")


@pytest.mark.parametrize(
    "spec", ["hashed:0", "hashed:-1", "hashed:many", "hashed:99999999", "explicit", "explicit:no/file"]
)
def test_a_bad_specification_is_refused(spec):
    with pytest.raises(BadInput, match=r"give|needed"):
        VOCABULARIES.parse(spec)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "secret"},
        {"kind": "hashed"},
        {"kind": "hashed", "buckets": "8"},
        {"kind": "hashed", "buckets": True},
        {"kind": "hashed", "buckets": 0},
        {"kind": "explicit"},
        {"kind": "explicit", "words": "abc"},
        {"kind": "explicit", "words": ["a", 1]},
        {"kind": "explicit", "words": []},
        {"kind": "explicit", "words": ["a", "b", "a"]},
    ],
)
def test_a_malformed_description_is_refused(values):
    with pytest.raises(BadInput):
        vocabulary_from_dict(values)


def test_a_repeated_word_is_named():
    with pytest.raises(BadInput, match="'a' 3 times"):
        ExplicitVocabulary(["b", "a", "a", "a"])


@pytest.mark.parametrize("index", [-1, 2])
def test_a_word_outside_the_vocabulary_is_refused(index):
    with pytest.raises(BadInput, match="give 0 to 1"):
        ExplicitVocabulary(["a", "b"]).word(index)


@pytest.mark.parametrize(
    ("word", "reason"),
    [("credit card", "read as 'credit', 'card'"), ("Pizza", "read as 'pizza'"), ("2nd", "'2', 'nd'"), ("-", "nothing")],
)
def test_a_word_that_no_text_can_hold_is_refused_by_name(tmp_path, word, reason):
    with pytest.raises(BadInput, match=rf"word '{word}' .*{reason}"):
        ExplicitVocabulary(["pizza", word])
    (tmp_path / "words").write_text("pizza\nWin\nFREE\n")
    with pytest.raises(BadInput, match=r"'Win' \(and 1 more like it\)"):
        VOCABULARIES.parse(f"explicit:{tmp_path / 'words'}")


@pytest.mark.parametrize("words", [{"a", "b"}, {"a": 1}, np.array([["a"]]), np.array("a"), 3, None, b"ab"])
def test_what_has_no_order_or_no_row_is_no_list_of_words(words):
    for take in (ExplicitVocabulary, lambda texts: ExplicitVocabulary.from_public_texts(texts, 3)):
        if isinstance(words, set) and take is not ExplicitVocabulary:
            continue  # counted, whatever their order
        with pytest.raises(BadInput, match="where a list of"):
            take(words)


def test_a_text_is_no_list_of_tokens():
    for vocabulary in (HashedVocabulary(), ExplicitVocabulary(["a"])):
        with pytest.raises(BadInput, match="'a prize' where a list of tokens is meant"):
            vocabulary.ids("a prize")
    with pytest.raises(BadInput, match="list of words"):
        ExplicitVocabulary("abc")
    with pytest.raises(BadInput, match="list of texts"):
        ExplicitVocabulary.from_public_texts("win a prize", 3)


def test_a_vocabulary_travels_without_the_tokens_that_it_has_met():
    vocabulary = HashedVocabulary()
    before = len(pickle.dumps(vocabulary))
    ids = vocabulary.ids(["pizza", "password"])
    twin = pickle.loads(pickle.dumps(vocabulary))
    assert len(pickle.dumps(vocabulary)) == before
    assert np.array_equal(twin.ids(["pizza", "password"]), ids)
