"""The spam filter among scikit-learn's estimators."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import fedlearn
from fedlearn.datasets import load_corpus, split
from fedlearn.errors import BadInput
from fedlearn.secure import Paillier
from tests.scenarios.command import fedlearn as command

pytest.importorskip("sklearn", reason="pip install 'fedlearn[datasets]'")

from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from scenarios import FederatedSpamFilter

SAMPLE = load_corpus("sample")
TEXTS, LABELS = list(SAMPLE.texts), [SAMPLE.classes[label] for label in SAMPLE.labels]
USERS = list(SAMPLE.users or ())
FEW, THEIRS = TEXTS[::4], LABELS[::4]


def quick(**parameters) -> FederatedSpamFilter:
    return FederatedSpamFilter(**{"protection": "none", "rounds": 2, "vocabulary": "hashed:512"} | parameters)


@pytest.fixture(scope="module")
def fitted() -> FederatedSpamFilter:
    return quick().fit(TEXTS, LABELS, users=USERS)


class OfRows(FederatedSpamFilter):
    """The filter of rows of numbers, for scikit-learn's checks bring no texts: a word for each column and size in it.

    So whatever they ask of fitting, answering, labels, parameters and copies is asked of the filter; what they ask of
    tables (sparse ones, NaN, numbers of columns) is answered by scikit-learn's own `validate_data`.
    """

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = False
        tags.input_tags.two_d_array = True
        return tags

    def words(self, rows):
        return [" ".join(f"column{j}is{'abcdefghij'[int(np.clip(2 * v + 5, 0, 9))]}" for j, v in enumerate(row))
                for row in rows]  # fmt: skip

    def fit(self, X, y):  # noqa: N803
        rows, labels = validate_data(self, X, y)
        check_classification_targets(labels)
        return super().fit(self.words(rows), labels)

    def decision_function(self, X):  # noqa: N803
        return super().decision_function(self.words(validate_data(self, X, reset=False)))

    def predict_proba(self, X):  # noqa: N803
        return super().predict_proba(self.words(validate_data(self, X, reset=False)))


@pytest.mark.filterwarnings("ignore::sklearn.utils.estimator_checks.SkipTestWarning")
def test_all_of_scikit_learns_checks_pass_where_rows_are_put_into_words():
    found = estimator_checks.check_estimator(OfRows(protection="none", vocabulary="hashed:1024"), on_fail=None)
    assert len(found) >= 50
    # These skip themselves, for they need SCIPY_ARRAY_API to be set, and pandas.
    skipped = {"check_array_api_input", "check_classifier_data_not_an_array"}
    failed = {check["check_name"]: str(check["exception"]) for check in found if check["status"] != "passed"}
    assert {name: why for name, why in failed.items() if name not in skipped} == {}


def test_check_estimator_says_that_it_has_no_texts_to_test_with():
    with pytest.warns(estimator_checks.SkipTestWarning, match="string=True"):
        estimator_checks.check_estimator(FederatedSpamFilter())


def test_it_is_the_filter_of_the_command(tmp_path):
    run = ["run", "spam", "--vocabulary", "hashed:512", "--rounds", "2", "--protection", "none", "--quiet"]
    assert command(*run, "--out", str(tmp_path / "run")) == 0
    train, _ = split(SAMPLE)
    found = quick().fit(train.texts, train.labels)
    assert np.array_equal(found.trained_.model.vector, fedlearn.load(tmp_path / "run").model.vector)


def test_it_answers_as_classifiers_do(fitted):
    assert is_classifier(fitted)
    assert fitted.classes_.tolist() == ["ham", "spam"]
    assert fitted.score(TEXTS, LABELS) > 0.9
    odds = fitted.predict_proba(TEXTS)
    assert np.allclose(odds.sum(axis=1), 1)
    assert np.array_equal(fitted.predict(TEXTS), fitted.classes_[odds.argmax(axis=1)])
    assert np.array_equal(fitted.decision_function(TEXTS) > 0, odds[:, 1] > 0.5)
    assert dict(fitted.explain("win a prize"))["prize"] > 0
    assert len(fitted.predict([])) == 0
    assert len(fitted.history_.rounds) == 2


def test_fitting_again_is_the_same_and_leaves_parameters_alone(fitted):
    before = fitted.get_params()
    again = clone(fitted).fit(np.array(TEXTS, object), np.array(LABELS), users=np.array(USERS))
    assert fitted.get_params() == before
    assert np.array_equal(again.trained_.model.vector, fitted.trained_.model.vector)
    other = clone(fitted).set_params(random_state=7).fit(TEXTS, LABELS, users=USERS)
    assert not np.array_equal(other.trained_.model.vector, fitted.trained_.model.vector)
    copied = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(copied.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_users_are_the_clients(fitted):
    assert fitted.history_.rounds[0].clients_ok == len(set(USERS)) == 6
    assert quick(clients=4).fit(TEXTS, LABELS).history_.rounds[0].clients_ok == 4


def test_protection_and_processes_change_no_bit(fitted):
    hidden = quick(protection=Paillier(512, insecure_test_key=True), n_jobs=2).fit(TEXTS, LABELS, users=USERS)
    assert np.array_equal(hidden.trained_.model.vector, fitted.trained_.model.vector)


def test_it_goes_into_searches_and_pipelines():
    assert cross_val_score(quick(), FEW, THEIRS, cv=2).min() > 0.8
    search = GridSearchCV(quick(rounds=1), {"lr": [1e-6, 2.0]}, cv=2).fit(FEW, THEIRS, users=USERS[::4])
    assert search.best_params_ == {"lr": 2.0}
    lower = FunctionTransformer(lambda texts: [text.replace("!", "") for text in texts])
    assert make_pipeline(lower, quick()).fit(FEW, THEIRS).score(FEW, THEIRS) > 0.8


@pytest.mark.parametrize("labels", [[0, 1], [False, True], ["ham", "spam"], [-1, 1]])
def test_labels_come_back_as_they_were_given(labels):
    y = np.array(labels)[SAMPLE.labels.astype(int)][::4]
    found = quick(rounds=1).fit(FEW, y).predict(FEW)
    assert found.dtype == y.dtype
    assert np.array_equal(quick(rounds=1).fit(iter(FEW), iter(y)).predict(FEW), found)
    assert set(found.tolist()) <= set(labels)


def test_what_was_learned_is_saved_for_the_command(fitted, tmp_path, capsys):
    fitted.save(tmp_path / "mine")
    assert command("predict", "--run", str(tmp_path / "mine"), "win a prize now") == 0
    assert capsys.readouterr().out.startswith("spam")
    assert np.array_equal(fedlearn.load(tmp_path / "mine").logits(TEXTS)[:, 1], fitted.decision_function(TEXTS))
    with pytest.raises(BadInput, match="exists: give another folder"):
        fitted.save(tmp_path / "mine")


@pytest.mark.parametrize(
    ("parameters", "given", "says"),
    [
        ({}, ("win a prize", LABELS), "a list of texts is meant"),
        ({}, (np.zeros((3, 2)), [0, 1, 0]), "a list of texts is meant"),
        ({}, ({"text": TEXTS}, LABELS), "a dict where a list of texts is meant"),
        ({}, (set(TEXTS), LABELS), "a set where"),
        ({}, (TEXTS[:3], [1, None, 0]), "y number 1 is missing"),
        ({}, (TEXTS[:3], [1.0, 0.0, np.nan]), "y number 2 is missing"),
        ({}, (TEXTS[:2], [1, "a"]), "y mixes texts with other labels"),
        ({}, (TEXTS[:2], np.array([1, "a"], object)), "labels of several kinds"),
        ({}, (TEXTS[:3], LABELS[:3], ["a", np.nan, "b"]), "users number 1 is missing"),
        ({}, (TEXTS[:3], LABELS[:3], "abc"), "a list of users is meant"),
        ({"n_jobs": 0}, (TEXTS, LABELS), "n_jobs is 0"),
        ({"n_jobs": "two"}, (TEXTS, LABELS), "n_jobs is 'two', a whole number"),
        ({}, (TEXTS, LABELS[:-1]), "labels of shape"),
        ({}, (TEXTS[:4], ["a"] * 4), "y has 1 class "),
        ({}, ([], []), "y has no labels, X no texts"),
        ({}, (TEXTS, None), "the target y is None: give a label for each text"),
        ({}, (TEXTS[:2], "ab"), "a list of labels is meant"),
        ({}, (TEXTS[:2], 1), "a list of labels is meant"),
        ({}, (TEXTS[:3], [0, 1, 2]), "y has 3 classes"),
        ({}, (TEXTS, LABELS, USERS[:-1]), "users for 3,000 texts"),
        ({"rounds": 0}, (TEXTS, LABELS), "rounds is 0"),
        ({"lr": -1.0}, (TEXTS, LABELS), "lr is -1"),
        ({"random_state": None}, (TEXTS, LABELS), "random_state is None"),
        ({"random_state": -1}, (TEXTS, LABELS), "^random_state is -1"),
        ({"clients": 0}, (TEXTS, LABELS), "^clients is 0, a number from 1"),
        ({"lr": float("nan")}, (TEXTS, LABELS), "^lr is nan, a number above 0"),
        ({"vocabulary": "hash"}, (TEXTS, LABELS), "unknown vocabulary"),
        ({"strategy": "fedavgg"}, (TEXTS, LABELS), "did you mean"),
        ({"protection": "paillier"}, (TEXTS, LABELS, ["a", "b"] * 1500), "minimum of 3"),
        ({"clients": 10**6}, (TEXTS, LABELS), "clients"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(parameters, given, says):
    with pytest.raises(BadInput, match=says):
        quick(**parameters).fit(*given)


def test_an_untrained_filter_says_so():
    for ask in (lambda f: f.predict(["a"]), lambda f: f.explain("a"), lambda f: f.save("x")):
        with pytest.raises(NotFittedError):
            ask(FederatedSpamFilter())


@pytest.mark.parametrize("texts", [None, 3, {"a": 1}, {"a"}, np.array([["a"]])])
def test_a_loaded_model_refuses_what_is_no_list_of_texts(fitted, texts):
    with pytest.raises(BadInput, match="a list of texts is meant"):
        fitted.trained_.predict(texts)


def test_a_loaded_model_takes_a_generator_and_says_what_does_not_fit(fitted):
    assert fitted.trained_.predict(iter(TEXTS[:3])) == fitted.trained_.predict(TEXTS[:3])
    with pytest.raises(BadInput, match="a list has no labels to measure with"):
        fitted.trained_.evaluate(TEXTS[:3])
    with pytest.raises(BadInput, match="1 class for 3 texts: give one for each"):
        list(fitted.trained_.explain_all(TEXTS[:3], ["ham"]))
