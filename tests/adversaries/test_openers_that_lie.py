"""A key holder or a trustee that answers wrongly: no wrong sum is used, and who lies is named."""

from __future__ import annotations

import pytest

from clients import InlinePool
from fedlearn.errors import FedlearnError
from fedlearn.secure import Threshold
from tests.adversaries.lying_openers import lying
from tests.adversaries.parties import trained
from tests.toys import TOY_BITS, toy_clients, toy_codec, toy_paillier, toy_plain

COUNT = 4
WRONG = [
    "garbage", "wrong_values", "in_anothers_name",
    *(pytest.param(lie, marks=pytest.mark.slow) for lie in ("cut", "wrong_bit", "noise", "earlier", "of_another_kind")),
]  # fmt: skip
OTHERS = ("of_another_kind", "refusing")


def two_of_three() -> Threshold:
    return Threshold(2, 3, TOY_BITS, toy_codec(), insecure_test_key=True)


@pytest.fixture(scope="module")
def honest() -> bytes:
    return trained(InlinePool(toy_clients(COUNT)), toy_plain(), rounds=2)[0]


@pytest.mark.parametrize("lie", WRONG)
def test_a_wrong_sum_of_the_key_holder_voids_its_round_and_is_not_used(lie):
    with lying({-16: lie}, 2, "open", seed=3):
        model, history = trained(InlinePool(toy_clients(COUNT)), toy_paillier(), rounds=2)
    first, second = history.rounds
    assert first.void is None
    assert "opener:0" in second.void or "the key holder" in second.void
    assert model == trained(InlinePool(toy_clients(COUNT)), toy_plain(), rounds=1)[0]


@pytest.mark.parametrize("phase", ["echo", "open"])
@pytest.mark.parametrize("lie", ["wrong_values", *(pytest.param(lie, marks=pytest.mark.slow) for lie in OTHERS)])
def test_a_trustee_that_lies_is_named_and_done_without(lie, phase, honest):
    with lying({-17: lie}, 2, phase, seed=3):
        model, history = trained(InlinePool(toy_clients(COUNT)), two_of_three(), rounds=2)
    assert model == honest
    assert [*history.rounds[0].absent] == []
    assert [*history.rounds[1].absent] == ["opener:1"]
    assert len(history.rounds[1].absent["opener:1"]) < 500
    assert history.rounds[1].absent["opener:1"].isprintable()


def test_a_trustee_that_never_stops_talking_is_ended(honest):
    with lying({-17: "floods"}, 2, "open", seed=3):
        model, history = trained(InlinePool(toy_clients(COUNT)), two_of_three(), rounds=2)
    assert model == honest
    assert [*history.rounds[1].absent] == ["opener:1"]


def test_a_key_holder_that_never_stops_talking_ends_the_run_by_name():
    with lying({-16: "floods"}, 2, "open", seed=3), pytest.raises(FedlearnError, match="opener:0 sent 1000 messages"):
        trained(InlinePool(toy_clients(COUNT)), toy_paillier(), rounds=2)


def test_an_answer_that_comes_twice_costs_nothing():
    with lying({-16: "twice"}, 1, "open", seed=3):
        _, history = trained(InlinePool(toy_clients(COUNT)), toy_paillier(), rounds=2)
    assert [record.void for record in history.rounds] == [None, None]


def test_messages_that_are_no_answer_are_counted_one_by_one(monkeypatch):
    monkeypatch.setattr("aggregator.openers.UNASKED", 1)
    says = "opener:0 sent 1 messages that were no answer and was ended"
    with lying({-16: "replayed"}, 1, "open", seed=3), pytest.raises(FedlearnError, match=says):
        trained(InlinePool(toy_clients(COUNT)), toy_paillier(), rounds=1)


@pytest.mark.slow
def test_a_quick_wrong_answer_is_not_taken_for_one_that_counts(honest):
    """Of three trustees one lies at once and one is slow: the right answers of two are there in the end."""
    with lying({-17: "wrong_values", -18: "slow"}, 2, "open", seed=3):
        model, history = trained(InlinePool(toy_clients(COUNT)), two_of_three(), rounds=2)
    assert model == honest
    assert [*history.rounds[1].absent] == ["opener:1"]
