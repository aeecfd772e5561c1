"""What models are given that nobody expects: each says what it takes, none answers with numbers that mean nothing."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn.errors import BadInput
from fedlearn.models.bayes import naive_bayes
from fedlearn.models.chars import CharGRU, consecutive_windows
from fedlearn.models.convnet import ConvNet
from fedlearn.models.mlp import MLP
from fedlearn.models.sequence import SequenceClassifier
from fedlearn.models.skipgram import SkipGram, pairs
from fedlearn.models.spam import SpamClassifier

RNG = np.random.default_rng(0)


def test_widths_may_be_counted_out_once_but_have_an_order():
    assert [p.shape for p in MLP(width for width in (4, 3, 2)).parameters()] == [(3, 4), (3,), (2, 3), (2,)]
    for wrong in ({4, 2}, "42", {4: 2}, 4, None, [4], []):
        with pytest.raises(BadInput, match="widths"):
            MLP(wrong)


@pytest.mark.parametrize("lengths", [[1], [[1], [2]], [True, True], [1.5, 1], [], "ab", [0, 1], [1, 3]])
def test_lengths_are_one_for_each_sequence(lengths):
    with pytest.raises(BadInput):
        SequenceClassifier(5, 2)(np.array([[1, 2], [3, 4]]), lengths)


@pytest.mark.parametrize("images", [np.ones((2, 10)), np.ones((2, 5, 5)), np.ones(16), np.ones((1, 1, 4, 4)), "pixels"])
def test_images_of_another_size_are_named(images):
    with pytest.raises(BadInput):
        ConvNet(4)(images)
    assert ConvNet(4)([[0.0] * 16]).shape == (1, 10)


def test_a_filter_reads_plain_lists():
    assert SpamClassifier(5)([1, 2], [0, 1]).shape == (2,)


@pytest.mark.parametrize(("words", "messages"), [([[1, np.nan], [1, 1]], [1, 1]), ([[1, 2], [1, 1]], [np.nan, 1]),
                                                 ([[np.inf, 2], [1, 1]], [1, 1]), ([["a"], "b"], [1, 1])])  # fmt: skip
def test_counts_are_finite_numbers(words, messages):
    with pytest.raises(BadInput):
        naive_bayes(words, messages)


@pytest.mark.parametrize(
    "ask",
    [
        lambda words: words.nearest(np.ones(3), -1),
        lambda words: words.nearest(np.ones(3), 2.5),
        lambda words: words.nearest(np.ones(2)),
        lambda words: words.nearest(np.full(3, np.nan)),
        lambda words: words.nearest(np.ones(3), 2, (9,)),
        lambda words: words.analogy(0, 1, 9),
        lambda _: pairs([-1, 1], 1, 1, RNG),
        lambda _: pairs([[0, 1]], 1, 1, RNG),
        lambda _: pairs([0, 1], 1.5, 1, RNG),
        lambda _: pairs([0], 1, 1, RNG),
    ],
)
def test_words_that_there_are_not_are_refused(ask):
    with pytest.raises(BadInput):
        ask(SkipGram(5, 3))


ODD_GENERATION = (
    {"length": -1}, {"length": 2.5}, {"temperature": 0}, {"temperature": np.nan}, {"temperature": 1e-320},
    {"temperature": "hot"}, {"rng": 0}, {"prompt": []}, {"prompt": [[1, 2]]}, {"prompt": [9]}, {"prompt": "ab"},
)  # fmt: skip


@pytest.mark.parametrize("odd", ODD_GENERATION, ids=str)
@pytest.mark.filterwarnings("error")
def test_a_text_goes_on_from_a_prompt_by_a_generator(odd):
    with pytest.raises(BadInput):
        CharGRU(5, 4).generate(**{"prompt": [1], "length": 2, **odd})


def test_a_model_that_has_diverged_writes_nothing():
    model = CharGRU(5, 4)
    model.vector[:] = np.nan
    with pytest.raises(BadInput, match="diverged"):
        model.generate([1], 3)


def test_windows_of_lists_and_of_nothing():
    assert [inputs.tolist() for inputs, _ in consecutive_windows([1, 2, 3], 1, 1)] == [[[1]], [[2]]]
    assert CharGRU(5, 4).nats([1, 2, 3]) > 0
    for wrong in (([1, 2], 0, 1), ([1, 2], 1, 0), ([1, 2], 1.5, 1), ([1.0, 2.0], 1, 1), ([[1, 2]], 1, 1), ([1], 1, 1)):
        with pytest.raises(BadInput):
            list(consecutive_windows(*wrong))
    for odd in ({"batch": 0}, {"length": 0}):
        with pytest.raises(BadInput):
            CharGRU(5, 4).nats(np.arange(5), **odd)


def test_writing_and_reading_leave_a_model_in_training():
    """Training goes on with dropout after a sample was written."""
    model = CharGRU(3, 4, layers=2, dropout=0.5).train()
    model.generate(np.array([0]), 2)
    model.perplexity(np.array([0, 1, 2, 1]))
    assert model.training
    assert model.recurrent.training
