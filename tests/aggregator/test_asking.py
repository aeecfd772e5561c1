"""Questions that a sum answers: exact, the same under every protection, and under the rules that hold for training."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

from aggregator import RunFolder, ask
from clients import Client, InlinePool, ProcessPool
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.bags import bags_of
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import BadInput, CodecError, FedlearnError, NothingLearned
from fedlearn.models.mlp import MLP
from fedlearn.models.spam import SpamClassifier
from fedlearn.protocol import PartyView, RunPlan, TrainRequest
from fedlearn.queries import ClassCounts, Confusion, Counts, Evaluation, Histogram, Mean, Quantiles, Query, WordCounts
from fedlearn.secure import Masks, Paillier, Plain, Threshold
from tests.toys import TOY_BITS

PROTECTIONS = ("none", "masks", "paillier", "threshold")


def toy(name: str, codec: FixedPoint):
    made = {
        "none": lambda: Plain(codec), "masks": lambda: Masks(codec),
        "paillier": lambda: Paillier(TOY_BITS, codec, insecure_test_key=True),
        "threshold": lambda: Threshold(2, 3, TOY_BITS, codec, insecure_test_key=True),
    }  # fmt: skip
    return made[name]()


def people(count: int = 6, each: int = 30) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(7)
    return [(np.floor(rng.lognormal(4, 1, (each, 1))), rng.integers(0, 3, each)) for _ in range(count)]


def together(clients) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([X.ravel() for X, _ in clients]), np.concatenate([y for _, y in clients])


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_the_sum_is_exact_and_the_same_under_every_protection(protection):
    clients = people()
    values, labels = together(clients)
    codec = FixedPoint(16, 32767.0, 6)
    assert ask(ClassCounts(3), clients, toy(protection, codec)).values == {"examples": np.bincount(labels).tolist()}
    answer = ask(Histogram(low=0, high=200, bins=4), clients, toy(protection, codec))
    assert [record.evaluated for record in answer.history.rounds] == [False]
    found = answer.values
    assert found["examples"] == np.histogram(values[values < 200], [0, 50, 100, 150, 200])[0].tolist()
    assert (found["below"], found["above"]) == (0, int((values >= 200).sum()))


def test_mean_and_variance_are_those_of_all_values_in_one_place():
    clients = people()
    values, _ = together(clients)
    found = ask(Mean(low=0, high=8000), clients, "masks").values
    assert found["examples"] == len(values)
    assert found["mean"] == pytest.approx(values.mean(), rel=1e-12)
    assert found["variance"] == pytest.approx(values.var(), rel=1e-12)


def test_quantiles_of_a_hundred_clients_to_one_step_in_four_rounds_at_most():
    clients = people(100, 9)
    values, _ = together(clients)
    at = (0.01, 0.1, 0.5, 0.9, 0.999, 1.0)  # 0.999 of 900 is between two values: the upper one is meant
    found = ask(Quantiles(at=at), clients, "masks")
    assert len(found.history.rounds) <= 4
    assert found.values["quantiles"] == {str(q): np.quantile(values, q, method="inverted_cdf") for q in at}


def test_quantiles_beyond_the_range_are_none_and_count_all_the_same():
    clients = people()
    values, _ = together(clients)
    middle = np.quantile(values, 0.5, method="inverted_cdf")
    found = ask(Quantiles(at=(0.01, 0.5, 0.99), low=middle - 2, high=middle + 2), clients, "none").values
    assert found["quantiles"] == {"0.01": None, "0.5": middle, "0.99": None}


@pytest.mark.parametrize(
    "query", [Quantiles(), Mean(low=0, high=10), Confusion.of(MLP([1, 2])), Evaluation.of(MLP([1, 2]))]
)
def test_an_answer_of_no_examples_says_so(query):
    nothing = (np.zeros((0, 1), np.float32), np.zeros(0, int))
    found = ask(query, [nothing] * 3, "masks")
    assert query.note(found.values) == "the clients in the sum have no examples, so there is nothing to know of them"
    found = ask(query, [nothing, (np.ones((1, 1), np.float32), np.zeros(1, int)), nothing], "masks")
    assert query.note(found.values) == ""
    assert found.values.get("examples", 1) == 1


def test_words_are_counted_once_a_message_and_class_by_class():
    clients = [
        Client("ann", bags_of([[0, 2], [2]], np.array([0.0, 1.0]))),
        Client("bob", bags_of([[2, 3], [], [3]], np.array([1.0, 0.0, 1.0]))),
        Client("cid", bags_of([], np.zeros(0))),
    ]
    query = WordCounts(vocabulary=4)
    found = ask(query, clients, "masks")
    assert query.words(found.totals).tolist() == [[1, 0, 1, 0], [0, 0, 2, 2]]
    assert query.messages(found.totals).tolist() == [2, 3]
    assert found.values == {"messages": [2, 3], "words": [2, 4], "rows": 3}


@pytest.mark.parametrize("protection", ["none", "masks"])
def test_a_confusion_matrix_is_that_of_all_examples_in_one_place(protection):
    rng = np.random.default_rng(3)
    model = MLP([5, 4, 3], rng=rng)
    clients = [(rng.normal(size=(20, 5)).astype(np.float32), rng.integers(0, 3, 20)) for _ in range(5)]
    features, labels = (np.concatenate(parts) for parts in zip(*clients, strict=True))
    taken = model(features).numpy().argmax(axis=1)
    exact = [[int(((labels == of) & (taken == for_)).sum()) for for_ in range(3)] for of in range(3)]
    found = ask(Confusion.of(model, classes=3), clients, protection).values
    assert found["confusion"] == exact
    assert found["accuracy"] == (taken == labels).mean()
    with pytest.raises(BadInput, match="no labels from 0 to 1"):
        ask(Confusion.of(model), clients, protection if protection == "none" else "none")


def test_an_example_for_which_a_model_gives_nan_counts_for_no_class():
    of_three, of_two = MLP([2, 2, 3]), SpamClassifier(2, 2)
    of_three.load_state_dict({**of_three.state_dict(), "body.0.weight": np.full((2, 2), 1e5, np.float32)})
    of_three.load_state_dict({**of_three.state_dict(), "body.2.weight": np.float32([[1, -1], [1, -1], [1, -1]])})
    of_two.load_state_dict({**of_two.state_dict(), "words.weight": np.full((2, 2), 3e38, np.float32)})
    of_two.load_state_dict({**of_two.state_dict(), "head.weight": np.float32([[2, -2]])})
    numbers, words = (
        (np.float32([[1, 2], [3e38, 3e38]]), np.array([0, 1])),
        bags_of([[0], [0, 1]], np.array([0.0, 1.0])),
    )
    for model, data in ((of_three, numbers), (of_two, words)):
        with pytest.raises(BadInput, match="the model gives nan for some examples, which is no class: scale their"):
            ask(Confusion.of(model, 3 if data is numbers else 2), [Client(n, data) for n in "abc"], "none")


def test_a_spam_filter_is_measured_on_mail_that_stays_with_its_owners(tmp_path):
    model = SpamClassifier(4)
    model.load_state_dict({"words.weight": np.float32([[-1], [0], [1], [1]]), "bias": np.float32([0])})
    clients = [Client(n, bags_of([[0], [2], [3], []], np.array([0.0, 1.0, 0.0, 1.0]))) for n in "abc"]
    assert ask(Confusion.of(model), clients, "masks", folder=tmp_path / "run").values == {
        "confusion": [[3, 3], [3, 3]],
        "accuracy": 0.5,
    }


def test_nothing_is_asked_of_fewer_than_min_cohort():
    with pytest.raises(BadInput, match="a cohort of 2 clients is under the minimum of 3"):
        ask(ClassCounts(3), people(2), "masks")


def test_a_client_that_cannot_answer_costs_its_own_answer_only_and_too_many_of_them_the_question():
    clients = [*people(4), (np.ones((2, 1)), np.array([0, 7]))]
    found = ask(ClassCounts(3), clients, "masks")
    assert (found.clients, found.history.rounds[0].clients_failed) == (4, 1)
    with pytest.raises(NothingLearned, match="the question has no answer: 2 clients answered, 3 are needed"):
        ask(ClassCounts(3), [*people(2), *clients[4:] * 3], "masks")


@pytest.mark.parametrize(
    ("query", "data", "message"),
    [
        (ClassCounts(2), people(), "no labels from 0 to 1"),
        (ClassCounts(3), [(X, np.full(len(X), np.nan)) for X, _ in people()], "no labels from 0 to 2"),
        (ClassCounts(3, most=29), people(), r"30 examples, query classes allows 29 of one client: ask with most=30"),
        (Mean(high=3), people(), "a value lies outside of 0 to 3"),
        (Histogram(column=1), people(), "its rows have 1 number, the question is of column 1"),
        (Histogram(), [(X * np.inf, y) for X, y in people()], "values that are not finite"),
        (WordCounts(9), people(), "no messages as sets of words"),
        (Histogram(), [Client(n, bags_of([[1]], np.ones(1))) for n in "abc"], "no rows of numbers"),
    ],
)
def test_data_that_cannot_answer_are_refused_in_one_line(query, data, message):
    with pytest.raises(BadInput, match=message) as raised:
        ask(query, data, "none")
    assert "\n" not in str(raised.value)


def test_counts_beyond_the_lanes_are_refused_before_anybody_is_asked():
    with pytest.raises(CodecError, match=r"examples may be up to 4095 of one client, 12 bits hold 2047: raise bits"):
        ask(ClassCounts(3), people(), Plain(FixedPoint(12, 2047.0, 6)))
    with pytest.raises(BadInput, match="which no lane holds: raise step, or lower most"):
        Mean(low=0, high=2.0**40)


@pytest.mark.parametrize("kind", [Mean, Quantiles])
def test_a_step_or_a_range_that_floats_cannot_count_is_refused(kind):
    with pytest.raises(BadInput, match=f"{kind.name} step is 1e-300, more than .* of them lie between low and high"):
        kind(step=1e-300)
    with pytest.raises(BadInput, match=f"{kind.name} step is 9.99989e-321, more than"):
        kind(step=1e-320)  # the number of steps is infinite
    with pytest.raises(BadInput, match="too far apart for a float"):
        kind(low=-1e308, high=1e308)


@dataclass(frozen=True)
class Greedy(Query):
    """Counts more than it announces."""

    def entries(self):
        return {"n": Counts(1, 2)}

    def count(self, data, asked):
        return {"n": np.array([3])}

    def answer(self, asked, totals):
        return {}


def test_a_query_that_counts_more_than_it_announces_is_refused_by_the_client():
    with pytest.raises(BadInput, match="n holds 3, where whole numbers from 0 to 2 are agreed on"):
        ask(Greedy(), people(), "none")


def test_processes_count_as_this_one_does():
    clients = [Client(f"c{i}", Arrays(*pair)) for i, pair in enumerate(people())]
    inline, apart = (ask(Quantiles(), pool(clients), "masks").values for pool in (InlinePool, ProcessPool))
    assert inline == apart


def test_no_weights_are_sent_and_the_transcript_holds_no_answer_of_one_client(tmp_path):
    folder = RunFolder(tmp_path / "run", {"seed": 0}, {}, record=True)
    found = ask(ClassCounts(3), people(), "masks", folder=folder)
    assert json.loads((tmp_path / "run" / "answer.json").read_text())["answer"] == dict(found.values)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    view = PartyView.load(tmp_path / "run")
    ((_, request),) = view.bodies(TrainRequest)
    assert (request.weights.size, request.state) == (0, {})
    ((_, plan),) = view.bodies(RunPlan)
    assert (plan.model, plan.strategy["name"]) == ({}, "classes")
    lanes = [np.bincount(labels, minlength=3) for _, labels in people()]
    payloads = [message.to_bytes() for message in view.messages]
    for own in lanes:
        for dtype in ("<i4", "<i8", ">i4", ">i8"):
            assert not any(own.astype(dtype).tobytes() in payload for payload in payloads)


class StopAfterTwo:
    def begin(self, rounds, first): ...
    def end(self): ...
    def round(self, record):
        if record.round == 2:
            raise KeyboardInterrupt


def test_an_interrupted_question_goes_on_after_the_rounds_that_were_opened(tmp_path):
    configuration, hidden = {"seed": 0}, toy("paillier", FixedPoint(16, 32767.0, 6))
    with pytest.raises(KeyboardInterrupt) as interrupted:
        ask(
            Quantiles(), people(), hidden, trackers=[StopAfterTwo()],
            folder=RunFolder(tmp_path / "run", configuration, {}),
        )  # fmt: skip
    assert interrupted.value.__notes__ == [f"go on with resume=True in {tmp_path / 'run'}"]
    again = RunFolder(tmp_path / "run", configuration, {}, resume=True)
    found = ask(Quantiles(), people(), hidden, folder=again)
    assert [record.round for record in found.history.rounds] == [1, 2, 3]
    assert found.values == ask(Quantiles(), people(), "none").values


def test_noise_makes_an_answer_private_and_is_charged():
    found = ask(Histogram(low=0, high=200, bins=4), people(40), "masks", privacy="epsilon=3,clip=60")
    assert found.totals["examples"].dtype == np.float64
    assert 0 < found.history.rounds[-1].epsilon <= 3
    with pytest.raises(FedlearnError, match="differential privacy clips one vector"):
        ask(Mean(), people(40), "masks", privacy="epsilon=3,clip=60")


@pytest.mark.parametrize("odd", [None, 3, ClassCounts, "nothing", "classes:x"])
def test_what_is_no_query_is_refused(odd):
    with pytest.raises(BadInput):
        ask(odd, people(), "none")
