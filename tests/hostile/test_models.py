"""Every model of the registry, every vocabulary and what makes examples, with arguments that nobody expects.

Each makes something or raises a typed error. The table is made of constructors: a new model is in it by itself.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from fedlearn.datasets import Arrays, ExplicitVocabulary, HashedVocabulary, encode, split
from fedlearn.datasets.bags import encode_texts
from fedlearn.datasets.corpus import Corpus
from fedlearn.datasets.dense import Samples
from fedlearn.datasets.sequences import encode_in_order
from fedlearn.errors import BadInput, ShapeError
from fedlearn.models import MODELS
from fedlearn.nn.module import Module
from tests.contracts.samples import samples_for
from tests.hostile.inputs import ODD_ARGUMENTS, in_one_line

pytestmark = pytest.mark.filterwarnings("error")

CORPUS = Corpus("x", tuple("abcdefgh"), np.arange(8) % 2, None, True, "", "")


def constructor(kind: type[Module]) -> dict[str, Any]:
    """What a sample of this model was constructed with, and all defaults."""
    args, options = samples_for(kind)[0]._arguments
    given = inspect.signature(kind).bind(*args, **options)
    given.apply_defaults()
    return {name: value for name, value in given.arguments.items() if name not in ("rng", "args", "options", "kwargs")}


def attempt(call: Any, **given: Any) -> Any:
    try:
        return call(**given)
    except BadInput as error:
        return in_one_line(error)


@pytest.mark.parametrize("name", MODELS.entries)
def test_odd_arguments_make_a_model_or_are_refused(name):
    kind = MODELS.load(name)
    given = constructor(kind)
    assert given
    for argument in given:
        for odd in [*ODD_ARGUMENTS, ["word"], [None], [[1], [2, 3]], np.int64(3), np.float32(2)]:
            attempt(kind, **given | {argument: odd})


MAKERS = {
    "hashed": (HashedVocabulary, {"buckets": 50}),
    "explicit": (ExplicitVocabulary, {"words": ["aa", "bb"]}),
    "public texts": (ExplicitVocabulary.from_public_texts, {"texts": ["aa bb", "bb cc"], "size": 2}),
    "hashed row": (HashedVocabulary(50).row, {"tokens": ["aa"]}),
    "hashed words": (HashedVocabulary(50).in_order, {"tokens": ["aa"]}),
    "explicit row": (ExplicitVocabulary(["aa"]).row, {"tokens": ["aa"]}),
    "explicit words": (ExplicitVocabulary(["aa"]).in_order, {"tokens": ["aa"]}),
    "texts": (
        lambda texts, labels: encode_texts(texts, labels, HashedVocabulary(50)),
        {"texts": ["a b", "c"], "labels": [0, 1]},
    ),
    "in order": (lambda longest: encode_in_order(CORPUS, HashedVocabulary(50), longest), {"longest": 3}),
    "split": (lambda test_fraction: split(CORPUS, test_fraction), {"test_fraction": 0.5}),
    "arrays": (Arrays, {"features": np.zeros((2, 3)), "targets": np.zeros(2)}),
    "samples": (
        lambda features, labels: Samples.of("x", features, labels, source=""),
        {"features": np.zeros((4, 2)), "labels": np.arange(4)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_odd_arguments_make_examples_or_are_refused(name):
    call, given = MAKERS[name]
    assert not isinstance(attempt(call, **given), BadInput)
    for argument in given:
        for odd in ODD_ARGUMENTS:
            attempt(call, **given | {argument: odd})


@pytest.mark.parametrize(
    "vocabulary", [HashedVocabulary(50), ExplicitVocabulary(["aa", "a"])], ids=["hashed", "explicit"]
)
def test_the_letters_of_a_text_are_no_words(vocabulary):
    for look_up in (vocabulary.row, vocabulary.in_order):
        with pytest.raises(BadInput, match="a list of tokens is meant"):
            look_up("aa")
    with pytest.raises(BadInput, match="a list of texts is meant"):
        encode_texts("aa", np.zeros(2), vocabulary)
    assert len(encode(CORPUS, vocabulary)) == 8


def test_lists_become_arrays_and_single_numbers_are_refused():
    examples = Arrays([[1.0, 2.0], [3.0, 4.0]], [0, 1])
    assert examples.take(np.array([1])).features.tolist() == [[3, 4]]
    with pytest.raises(ShapeError, match="single numbers"):
        Arrays(1.0, 2.0)
