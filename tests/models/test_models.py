"""Models: shapes, learning on small problems, generation, descriptions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedlearn import nn, optim
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import BadInput
from fedlearn.metrics import class_metrics
from fedlearn.models.chars import CharGRU, CharLSTM, CharRNN, consecutive_windows
from fedlearn.models.convnet import ConvNet
from fedlearn.models.sequence import SequenceClassifier
from fedlearn.models.skipgram import SkipGram, pairs

CHARS = pytest.mark.parametrize("kind", [CharRNN, CharGRU, CharLSTM])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@CHARS
def test_a_zero_head_hesitates_between_all_characters(kind):
    model = kind(62, hidden=8, rng=rng())
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    assert model.perplexity(rng().integers(0, 62, 500)) == pytest.approx(62, rel=1e-5)


@CHARS
def test_a_repeating_text_is_learned_and_generated(kind):
    text = np.tile([0, 1, 2, 3, 2, 1], 100)
    model = kind(4, hidden=24, rng=rng())
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    losses = [model.train_stream(text, 4, 12, optimizer) for _ in range(8)]
    assert losses[-1] < 0.1 < losses[0]
    assert math.log(model.perplexity(text)) < 0.2
    made = model.generate(text[:6], 12, temperature=0.1, rng=rng())
    assert made.tolist() == [0, 1, 2, 3, 2, 1] * 2
    drawn = [model.generate(text[:6], 30, 3.0, rng(seed)).tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@CHARS
def test_training_on_windows_and_a_state_that_is_carried_agree(kind):
    model = kind(5, hidden=6, layers=2, rng=rng())
    ids = rng().integers(0, 5, (3, 10))
    whole, _ = model(ids)
    first, state = model(ids[:, :4])
    second, _ = model(ids[:, 4:], state)
    np.testing.assert_allclose(whole.numpy(), np.concatenate([first.numpy(), second.numpy()]), atol=1e-6)
    expected = class_metrics(whole.numpy()[:-1].reshape(-1, 5), ids[:, 1:].T.ravel())["loss"]
    assert model.loss(Arrays(ids[:, :-1], ids[:, 1:])).item() == pytest.approx(expected, rel=1e-5)


@CHARS
def test_the_state_is_carried_from_window_to_window_in_training_and_in_reading(kind):
    model = kind(5, hidden=6, rng=rng())
    ids = rng().integers(0, 5, 41)
    whole = model.loss(Arrays(ids[:-1].reshape(4, 10), ids[1:].reshape(4, 10))).item()
    assert model.nats(ids, length=3, batch=4) == pytest.approx(whole, rel=1e-5)
    still = optim.SGD(model.parameters(), lr=0.0)
    assert model.train_stream(ids, 4, 3, still) == pytest.approx(whole, rel=1e-5)


def test_characters_are_drawn_from_the_softmax_at_the_temperature():
    model = CharRNN(3, hidden=2, rng=rng())
    nn.init.zeros_(model.head.weight)
    odds = np.array([16.0, 4.0, 1.0])
    model.head.bias[...] = np.log(odds)
    for temperature in (1.0, 2.0):
        drawn = model.generate(np.array([0]), 2000, temperature, rng())
        expected = odds ** (1 / temperature) / (odds ** (1 / temperature)).sum()
        np.testing.assert_allclose(np.bincount(drawn) / 2000, expected, atol=0.04)


def test_gradients_are_clipped_before_a_step():
    model = CharGRU(3, hidden=2, rng=rng())
    before = model.vector.copy()
    for max_norm, moves in ((0.0, False), (1.0, True)):
        model.train_stream(np.arange(30) % 3, 2, 5, optim.SGD(model.parameters(), lr=1.0), max_norm)
        assert (model.vector != before).any() == moves


def test_a_stream_reads_every_character_once_and_in_order():
    ids = np.arange(23)
    parts = list(consecutive_windows(ids, 2, 4))
    assert np.concatenate([x for x, _ in parts], axis=1).tolist() == ids[:22].reshape(2, 11).tolist()
    assert all((y == x + 1).all() for x, y in parts)
    for batch, length in ((30, 4), (0, 4), (2, 0)):
        says = {30: "a text of 23 characters", 0: "batch is 0", 2: "length is 0"}[batch]
        with pytest.raises(BadInput, match=says):
            list(consecutive_windows(ids, batch, length))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_sequence_is_classified_by_what_it_began_with(cell):
    ids = rng().integers(0, 4, (64, 5))
    batch = Arrays(ids, (ids[:, 0] > 1).astype(np.int64))
    model = SequenceClassifier(4, 2, 8, 16, cell, rng=rng())
    optimizer = optim.Adam(model.parameters(), lr=0.03)
    for _ in range(60):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
    assert model.loss(batch).item() < 0.1


def test_only_the_first_lengths_of_a_sequence_count():
    model = SequenceClassifier(4, 3, rng=rng())
    short = model(np.array([[1, 2]]))
    padded = model(np.array([[1, 2, 0, 3], [0, 1, 2, 3]]), np.array([2, 4]))
    np.testing.assert_allclose(padded.numpy()[0], short.numpy()[0], atol=1e-6)
    with pytest.raises(BadInput, match="lengths"):
        model(np.array([[1, 2]]), np.array([3]))


def test_a_convnet_tells_stripes_apart():
    draws = rng().normal(0, 0.3, (60, 8, 8)).astype(np.float32)
    labels = np.arange(60) % 2
    draws[labels == 0, ::2] += 1
    draws[labels == 1, :, ::2] += 1
    model = ConvNet(8, 2, 4, rng=rng())
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    for _ in range(15):
        optimizer.zero_grad()
        model.loss(Arrays(draws.reshape(60, 64), labels)).backward()
        optimizer.step()
    assert (model(draws).argmax(1) == labels).mean() > 0.95
    with pytest.raises(BadInput):
        ConvNet(3)


def test_words_that_stand_in_the_same_places_come_near_each_other():
    draw = rng()
    animals, tools = [0, 1, 2], [3, 4, 5]
    text = []
    for _ in range(300):
        text += [int(draw.choice(animals)), 6, 8] if draw.random() < 0.5 else [int(draw.choice(tools)), 7, 9]
    model = SkipGram(10, 8, rng=draw)
    examples = pairs(np.array(text), 1, 4, draw)
    assert model.loss(examples).item() == pytest.approx(5 * math.log(2))  # five candidates, none known yet
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    for _ in range(15):
        for start in range(0, len(examples), 200):
            optimizer.zero_grad()
            model.loss(examples.take(slice(start, start + 200))).backward()
            optimizer.step()
    assert {word for word, _ in model.nearest(model.words.weight.numpy()[0], 2, without=(0,))} == {1, 2}
    with pytest.raises(BadInput):
        pairs(np.array([1]), 1, 1, draw)


def test_negatives_are_drawn_by_counts_to_the_power_of_three_quarters():
    examples = pairs(np.array([0] * 160 + [1] * 10), 1, 20, rng())
    assert examples.candidates[:, 1:].mean() == pytest.approx(1 / 9, rel=0.1)  # 16 ** 0.75 is 8


def test_analogies_are_differences_of_vectors_and_near_means_cosine():
    man, woman, king, queen, knave = range(5)
    model = SkipGram(5, 2)
    model.words.weight[...] = [[1, 0], [1, 1], [3, 0], [3, 1], [30, -10]]
    assert [word for word, _ in model.analogy(man, woman, king)] == [queen, knave]
    (best, cosine), *_ = model.nearest(np.array([0.0, 2.0]), 2)
    assert (best, cosine) == (woman, pytest.approx(0.5**0.5))


@pytest.mark.parametrize(
    "model",
    [CharLSTM(7, 4, rng=rng()), SequenceClassifier(7, 2, cell="gru", rng=rng()), ConvNet(rng=rng()), SkipGram(7)],
)
def test_a_model_is_rebuilt_from_its_description(model):
    assert nn.build(model.spec()).vector.shape == model.vector.shape


def test_bad_sizes_are_refused():
    for make in (lambda: CharLSTM(0), lambda: SequenceClassifier(3, 2, cell="tree")):
        with pytest.raises(BadInput):
            make()
    with pytest.raises(BadInput):
        CharLSTM(3, 4).generate(np.array([0]), 3, temperature=0)
