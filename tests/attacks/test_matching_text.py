"""Text searched for by its gradient: the distances are right to the second derivative, and the searches arrive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedlearn.attacks.base import NotReadable
from fedlearn.attacks.matching_text import METHODS, TextMatching, TextSearch, text_length
from fedlearn.attacks.observed import Observed
from fedlearn.attacks.scores import rouge
from fedlearn.autograd import Tensor, grad, gradgradcheck, recurrent
from fedlearn.errors import BadInput
from fedlearn.models.chars import CharGRU, CharLSTM, CharRNN
from tests.attacks.test_span import LETTERS, recorded

CELLS = (CharRNN, CharGRU, CharLSTM)


def search(folder: Path, method: str, kind=CharLSTM, batch: int = 1, length: int = 5) -> TextSearch:
    observed = Observed(recorded(folder, batch, length, kind=kind, hidden=16)[0])
    return TextSearch(TextMatching(method, length=length), observed, observed.readable()[0])


@pytest.mark.parametrize(("name", "gates", "shapes"), [
    ("rnn", 1, [(8, 8), (3, 8)]), ("gru", 3, [(24, 8), (24,), (3, 8)]), ("lstm", 4, [(32, 8), (3, 8), (3, 8)]),
])  # fmt: skip
def test_second_derivatives_of_recurrent_layers_agree_with_finite_differences(name, gates, shapes):
    rng = np.random.default_rng(0)
    inputs = [Tensor(rng.normal(size=shape), requires_grad=True) for shape in [(7, 3, 8 * gates), *shapes]]
    options = {"nonlinearity": "tanh"} if name == "rnn" else {}
    assert gradgradcheck(lambda *xs: getattr(recurrent, name)(*xs, **options), inputs, rng, directions=3)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("objective", ["squared", "tag", "cosine"])
def test_the_slope_of_every_distance_agrees_with_finite_differences(tmp_path, kind, objective):
    distance = getattr(search(tmp_path, "dlg", kind, batch=2), objective)
    rng = np.random.default_rng(1)
    x = rng.normal(size=2 * 6 * len(LETTERS))
    point = Tensor(x, requires_grad=True)
    (slope,) = grad(distance(point), [point])
    for direction in rng.normal(size=(3, x.size)) / x.size**0.5:
        ahead, behind = (distance(Tensor(x + step * direction)).item() for step in (1e-4, -1e-4))
        assert (slope.numpy() * direction).sum() == pytest.approx((ahead - behind) / 2e-4, rel=1e-6)


@pytest.mark.parametrize("kind", CELLS)
def test_every_distance_is_nothing_at_the_text_itself(tmp_path, kind):
    view, truth = recorded(tmp_path, 1, 5, kind=kind, hidden=16)
    observed = Observed(view)
    found = TextSearch(TextMatching("dlg"), observed, observed.readable()[0])
    ids = np.array([[LETTERS.index(letter) for letter in truth[0]]])
    point = Tensor(50.0 * np.eye(len(LETTERS))[ids].ravel())
    assert found.squared(point).item() < 1e-9
    assert found.cosine(point).item() < 1e-9
    assert found.tag(point).item() < 1e-4
    assert found.distance(ids) < 1e-9
    assert found.distance(ids[:, ::-1]) > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_the_text_is_found_or_most_of_it(tmp_path, method):
    view, (truth,) = recorded(tmp_path, 1, 6, hidden=32)
    (found,) = TextMatching(method, iterations=60, changes=900).run(view)
    assert rouge(truth, found.texts[0], 2) >= 0.5
    if method == "lamp":
        assert found.texts[0] == truth
        assert found.distance < 1e-6


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(("batch", "length"), [(1, 9), (3, 7)])
def test_how_long_the_texts_are_is_read_off_the_rank(tmp_path, kind, batch, length):
    observed = Observed(recorded(tmp_path, batch, length, kind=kind, hidden=32)[0])
    assert text_length(observed, observed.readable()[0]) == length


def test_too_much_text_and_unknown_methods_are_refused(tmp_path):
    view, _ = recorded(tmp_path, 4, 12, hidden=16)
    with pytest.raises(NotReadable, match="length"):
        TextMatching().run(view)
    with pytest.raises(BadInput, match="lamp"):
        TextMatching("guess")
