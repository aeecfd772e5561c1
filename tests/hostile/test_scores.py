"""Every score of a classifier and of an attack, with inputs that nobody expects.

Each equals its oracle or raises a typed error; none warns, or gives nan where the oracle does not. The table is made of
the modules' functions and of what their annotations ask for: a new function is in it by itself.
"""

from __future__ import annotations

import inspect
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, is_dataclass
from typing import Any, get_type_hints

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import adjusted_rand_score, confusion_matrix, roc_curve

from fedlearn import metrics
from fedlearn.attacks import scores
from fedlearn.errors import BadInput
from tests.hostile.inputs import FLOATING, LAYOUTS, NO_NUMBERS, NUMBERS, ODD_ARGUMENTS, in_one_line, public_functions

pytestmark = pytest.mark.filterwarnings("error")

FUNCTIONS = public_functions(metrics) | public_functions(scores)
ORDINARY = {  # by annotation: two of each, for two arguments of one kind
    np.ndarray: (np.array([0.1, 0.9, 0.4, 0.4, 0.7]), np.array([0.2, 0.4, 0.3, 0.6, 0.0])),
    Sequence[int]: ([0, 1, 1, 2, 0], [1, 1, 1, 0, 0]),
    Sequence[object]: (["the", "cat", "sat", "on", "the", "mat"], ["the", "cat", "ran", "on", "the", "mat"]),
    Sequence[set[str]]: ([{"a", "b"}, {"b", "c", "d"}], [{"a", "b"}, {"c", "d"}]),
    Sequence[Sequence[str]]: ([["a"], ["c", "d"]],) * 2,
    int: (2, 2),
    float: (0.3, 0.3),
}
NAMED = {  # where the annotation does not say enough
    ("binary_metrics", "logits"): np.array([0.5, -1.5, 2.0, 0.0, -3.0]),
    ("binary_metrics", "labels"): np.array([1, 0, 0, 1, 1]),
    ("class_metrics", "logits"): np.array([[0.5, -1.5, 2.0], [1.0, 0.0, -3.0], [0.0, 0.5, 0.1], [9.0, 2.0, 1.0]]),
    ("class_metrics", "labels"): np.array([2, 1, 1, 0]),
    ("confusion", "predicted"): np.array([2, 1, 1, 0]),
    ("confusion", "labels"): np.array([2, 1, 0, 0]),
    ("confusion", "classes"): 3,
}


def of_classes(logits, labels):
    logits = np.asarray(logits, np.float64)
    said = [-1 if np.isnan(row).any() else int(row.argmax()) for row in logits]
    losses = -log_softmax(logits, axis=1)[np.arange(len(labels)), np.asarray(labels, int)]
    losses[np.isinf(logits.max(axis=1))] = np.nan  # infinity over infinity
    return {"loss": losses.mean(), "accuracy": float(np.mean(np.array(said) == labels))}


def of_two(logits, labels):
    logits, labels = np.asarray(logits, np.longdouble), np.asarray(labels)
    loss = np.mean(np.log1p(np.exp(-np.abs(logits))) + np.maximum(np.where(labels == 1, -logits, logits), 0))
    said = [None if np.isnan(x) else int(x > 0) for x in logits]
    pairs = Counter(zip(said, labels.tolist(), strict=True))
    hits, right = pairs[1, 1], pairs[1, 1] + pairs[0, 0]
    wrong = len(labels) - right
    f1 = 2 * hits / (2 * hits + wrong) if hits else 0.0
    return {"loss": float(loss), "accuracy": right / len(labels), "f1": f1}


def of_pairs(members, others):
    return np.mean([(m > o) + 0.5 * (m == o) for m in np.asarray(members) for o in np.asarray(others)])


def by_counting(truth, found, n):
    grams = [[tuple(text[i : i + n]) for i in range(len(text) - n + 1)] for text in (list(truth), list(found))]
    common = sum(min(grams[0].count(gram), grams[1].count(gram)) for gram in set(grams[0]))
    return 2 * common / sum(map(len, grams))


def in_decibels(truth, found):
    errors = np.asarray(truth, np.longdouble) - np.asarray(found, np.longdouble)
    return float(-10 * np.log10(np.mean(errors**2)))


def curve(members, others):
    truth = [1] * len(members) + [0] * len(others)
    return roc_curve(truth, np.concatenate([members, others]), drop_intermediate=False)[:2]


def on_the_curve(members, others, false_rate):
    members, others = np.asarray(members), np.asarray(others)
    thresholds = [*members, *others, np.inf]
    return max(np.mean(members >= t) for t in thresholds if np.mean(others >= t) <= false_rate)


ORACLES = {
    "confusion": lambda predicted, labels, classes: confusion_matrix(labels, predicted, labels=range(classes)),
    "binary_metrics": of_two,
    "class_metrics": of_classes,
    "auc": of_pairs,
    "roc": curve,
    "true_positives_at": on_the_curve,
    "adjusted_rand": lambda truth, found: adjusted_rand_score(truth, found),
    "rouge": by_counting,
    "psnr": in_decibels,
}


def ordinary(name: str) -> dict[str, Any]:
    hints = get_type_hints(FUNCTIONS[name])
    given, used = {}, Counter()
    for parameter in inspect.signature(FUNCTIONS[name]).parameters:
        hint = hints[parameter]
        assert (name, parameter) in NAMED or hint in ORDINARY, f"{name}: say what an ordinary {parameter} is in NAMED"
        given[parameter] = NAMED[name, parameter] if (name, parameter) in NAMED else ORDINARY[hint][used[hint] % 2]
        used[hint] += 1
    return given


def numbers(result: Any) -> np.ndarray:
    """All that a score says, in one flat array."""
    if isinstance(result, dict):
        result = list(result.values())
    if is_dataclass(result):
        result = astuple(result)
    return np.concatenate([np.ravel(np.asarray(part, np.float64)) for part in np.atleast_1d(result)])


def attempt(name: str, given: dict[str, Any]) -> np.ndarray | BadInput:
    try:
        return numbers(FUNCTIONS[name](**given))
    except BadInput as error:
        return in_one_line(error)


def oracle(name: str, given: dict[str, Any]) -> np.ndarray | None:
    """What is right, or None where the oracle has no answer either."""
    if name not in ORACLES:
        return None
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return numbers(ORACLES[name](**given))
    except (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError):
        return None


def arrays(given: dict[str, Any]) -> list[str]:
    return [key for key, value in given.items() if isinstance(value, np.ndarray)]


def as_right(name: str, given: dict[str, Any], kind: str) -> None:
    got, right = attempt(name, given), oracle(name, given)
    if isinstance(got, BadInput):
        return
    if right is None:
        assert not np.isnan(got).any(), kind
    else:
        np.testing.assert_allclose(got, right, rtol=1e-9, atol=1e-12, equal_nan=True, err_msg=kind)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_ordinary_numbers_are_the_oracles(name):
    got, right = attempt(name, ordinary(name)), oracle(name, ordinary(name))
    assert not isinstance(got, BadInput), got
    assert right is not None or name not in ORACLES
    as_right(name, ordinary(name), "ordinary")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_layout_in_memory_changes_nothing(name):
    given = ordinary(name)
    expected = attempt(name, given)
    for kind, change in LAYOUTS.items():
        got = attempt(name, given | {key: change(given[key]) for key in arrays(given)})
        assert not isinstance(got, BadInput), f"{kind}: {got}"
        np.testing.assert_allclose(got, expected, rtol=1e-6 if kind == "list" else 0, err_msg=kind)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_odd_numbers_are_the_oracles_or_refused(name):
    given = ordinary(name)
    for kind, change in NUMBERS.items():
        some = [key for key in arrays(given) if given[key].dtype.kind == "f" or kind not in FLOATING]
        for keys in [[key] for key in some] + [some]:
            as_right(name, given | {key: change(given[key]) for key in keys}, kind)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_no_number_is_refused(name):
    given = ordinary(name)
    for kind, change in NO_NUMBERS.items():
        for key in arrays(given):
            assert isinstance(attempt(name, given | {key: change(given[key])}), BadInput), f"{key}: {kind}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_odd_arguments_are_the_oracles_or_refused(name):
    given = ordinary(name)
    for key in given:
        for odd in [*ODD_ARGUMENTS, ["a word"], [["word"]], [[1], [2, 3]], [None], np.zeros((2, 0))]:
            as_right(name, given | {key: odd}, f"{key}={odd!r}")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_are_left_as_they_were(name):
    given, before = ordinary(name), ordinary(name)
    attempt(name, given)
    for key in given:
        assert np.array_equal(given[key], before[key]) if key in arrays(given) else given[key] == before[key]


def test_words_are_no_letters():
    with pytest.raises(BadInput, match="as its words"):
        scores.unmixed(["my dog"], [], [])
    assert scores.rouge("abc", "abd", 2) == 0.5  # a text of characters


def test_a_class_counted_from_the_end_is_refused():
    with pytest.raises(BadInput, match="from 0 to 2"):
        metrics.class_metrics(np.zeros((2, 3)), np.array([0, -1]))


def test_a_model_that_has_diverged_is_right_about_nothing():
    assert metrics.class_metrics(np.full((2, 3), np.nan), np.array([0, 0]))["accuracy"] == 0
    assert metrics.binary_metrics(np.full(2, np.nan), np.array([0, 0]))["accuracy"] == 0
