"""Evaluations and frequent words from sums: what all examples in one place give; and cohorts that are asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aggregator import ask
from clients import Client
from fedlearn.autograd import no_grad
from fedlearn.datasets.bags import encode_texts
from fedlearn.datasets.vocabulary import HashedVocabulary
from fedlearn.errors import BadInput
from fedlearn.metrics import class_metrics
from fedlearn.models.mlp import MLP
from fedlearn.queries import ClassCounts, Evaluation, FrequentWords, Quantiles
from fedlearn.testing.toys import dense_examples, dense_model
from fedlearn.training.marks import marks
from tests.toys import toy_clients

MODEL = dense_model()
CLASSES = MODEL(dense_examples(2, 0).features).numpy().shape[1]
PEOPLE = [Client(f"client-{i}", dense_examples(4 + i, seed=i)) for i in range(12)]


@pytest.mark.parametrize("protection", ["none", "masks", "paillier"])
def test_an_evaluation_is_that_of_all_examples_and_tells_whom_the_model_serves_worst(protection):
    query = Evaluation.of(MODEL, classes=CLASSES, most=50)
    found = ask(query, PEOPLE, protection).values
    labels = np.concatenate([client.data.targets for client in PEOPLE])
    with no_grad():
        outputs = MODEL(np.concatenate([client.data.features for client in PEOPLE])).numpy()
    central = class_metrics(outputs, labels)
    assert found["accuracy"] == pytest.approx(central["accuracy"])
    assert np.sum(found["confusion"]) == len(labels)
    assert np.array(found["confusion"])[1, 2] == np.sum((labels == 1) & (outputs.argmax(axis=1) == 2))
    own = [marks(MODEL, client.data) for client in PEOPLE]
    accuracies = np.sort([each["accuracy"] for each in own])
    for name, value in found["accuracy_deciles"].items():
        exact = accuracies[int(np.ceil(int(name[1:]) / 100 * len(own))) - 1]
        assert value - 1 / query.bins - 1e-9 <= exact <= value + 1e-9
    worst = (accuracies[0] + 0.2 * accuracies[1]) / 1.2
    assert found["worst_tenth"] == pytest.approx(worst, abs=0.5 / query.bins + 1e-9)
    assert sum(found["losses"]["clients"]) == len(PEOPLE)
    places = [min(int(each["loss"] / query.loss_step), query.bins - 1) for each in own]
    assert found["losses"]["clients"] == np.bincount(places, minlength=query.bins).tolist()


def test_an_evaluation_that_is_refused_names_itself():
    with pytest.raises(BadInput, match=r"query evaluation needs a model .* Evaluation\.of\(model\)"):
        Evaluation()


def test_f1_of_two_classes_is_that_of_the_second_and_of_nobody_nothing_is_known():
    query = replace(Evaluation.of(MLP([3, 2]), classes=2), bins=4)
    counts = np.array([5, 1, 2, 4, 0, 1, 0, 2, 3, 0, 0, 0])
    found = query.answer(np.zeros(0), {"counts": counts})
    assert found["f1"] == pytest.approx(2 * 4 / (6 + 5))
    assert found["accuracy_deciles"]["p10"] == 0.5
    assert found["accuracy_deciles"]["p90"] == 1.0
    empty = query.answer(np.zeros(0), {"counts": np.zeros(12, np.int64)})
    assert empty["accuracy"] is empty["f1"] is empty["worst_tenth"] is empty["accuracy_deciles"] is None


def test_frequent_words_are_counted_in_buckets_and_named_from_a_public_list():
    words = HashedVocabulary(1000)
    texts = [["free prize", "free now"], ["hello you", "free you"], ["you", "secretword free"]]
    people = [Client(str(i), encode_texts(each, np.zeros(2), words)) for i, each in enumerate(texts)]
    query = FrequentWords(top=2, names=("you", "free", "prize"), vocabulary=1000)
    found = ask(query, people, "masks", vocabulary=words.to_dict()).values["frequent"]
    assert [(each["words"], each["messages"]) for each in found] == [(["free"], 4), (["you"], 3)]
    rest = ask(FrequentWords(top=50, names=("you",), vocabulary=1000), people, "none").values["frequent"]
    assert [each["words"] for each in rest].count([]) == len(rest) - 1  # what is not in the list has no name


def test_top_words_under_noise_are_the_frequent_ones_where_many_are_asked():
    words, rng = HashedVocabulary(256), np.random.default_rng(0)
    texts = [["the offer"] * 3 + [f"w{rng.integers(200)}"] for _ in range(300)]
    people = [Client(str(i), encode_texts(each, np.zeros(4), words)) for i, each in enumerate(texts)]
    query = FrequentWords(top=2, names=("the", "offer"), vocabulary=256, most=4)
    found = ask(query, people, "none", privacy="epsilon=2,clip=5")
    assert {word for each in found.values["frequent"] for word in each["words"]} == {"the", "offer"}
    assert found.history.rounds[-1].epsilon == pytest.approx(2, abs=0.01)


def test_a_cohort_is_asked_as_a_round_has_one():
    found = ask(ClassCounts(most=50), toy_clients(9), "masks", cohort=4, seed=3)
    assert found.clients == 4
    assert found.history.rounds[0].clients_ok == 4
    again = ask(ClassCounts(most=50), toy_clients(9), "none", cohort=4, seed=3)
    assert again.values == found.values != ask(ClassCounts(most=50), toy_clients(9), "none", cohort=4, seed=4).values
    drawn = ask(ClassCounts(most=50), toy_clients(40), "paillier", cohort=20, sampler="poisson", seed=1)
    assert 3 <= drawn.clients < 40


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"cohort": 2}, "a cohort of 2 clients is under the minimum of 3"),
        ({"cohort": 99}, "99"),
        ({"sampler": "poissn"}, "did you mean 'poisson'"),
        ({"cohort": 4, "query": Quantiles(most=50)}, "each about the same clients: leave cohort and sampler out"),
        ({"sampler": "poisson", "query": Quantiles(most=50)}, "leave cohort and sampler out"),
    ],
)
def test_cohorts_that_cannot_be_asked_are_refused(how, says):
    query = how.pop("query", ClassCounts(most=50))
    with pytest.raises(BadInput, match=says):
        ask(query, toy_clients(6), "masks", **how)
