"""Strategies under SecureSums: what they make of the mean, and which of them are refused by name."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy import FedAvg

from clients.flower.grid import DirectGrid, Inline
from clients.flower.internals import identity
from clients.flower.nodes import Nodes, Terms
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput
from fedlearn.flower.reported import Reported
from fedlearn.secure import Plain
from scenarios.flower import SecureSums

CODEC = FixedPoint(bits=28, bound=4.0, addends=8)
NONE = {"fraction_evaluate": 0.0}


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("flwr").setLevel(logging.ERROR)


@pytest.mark.parametrize(
    "make",
    [
        lambda: flower.FedAvg(**NONE),
        lambda: flower.FedAvgM(**NONE, server_learning_rate=0.7, server_momentum=0.6),
        lambda: flower.FedProx(**NONE, proximal_mu=0.1),
        lambda: flower.FedAdam(**NONE),
        lambda: flower.FedYogi(**NONE),
        lambda: flower.FedAdagrad(**NONE),
    ],
    ids=["FedAvg", "FedAvgM", "FedProx", "FedAdam", "FedYogi", "FedAdagrad"],
)
def test_one_reply_leads_a_strategy_to_the_same_arrays_as_all_of_them(make):
    """Three rounds from the same replies: once each, once as the mean that an opened sum gives."""
    plain, summed = make(), make()
    with identity(1):  # messages are made in a run only
        compare(plain, summed)


def compare(plain, summed):
    draw, terms = np.random.default_rng(2), Terms(nodes=5, seed=0, run_id=1)
    arrays = ArrayRecord({"w": Array(draw.standard_normal((6, 4)).astype(np.float32))})
    for round in range(1, 4):
        grid = DirectGrid(Inline(Nodes(ClientApp(), terms)), terms, lambda what, done, of: None)
        config = ConfigRecord({"lr": 0.1})
        asked = list(plain.configure_train(round, arrays, config, grid))
        list(summed.configure_train(round, arrays, ConfigRecord({"lr": 0.1}), grid))
        replies = [reply(message, arrays, draw) for message in asked]
        one = as_mean(asked, arrays, replies)
        expected, _ = plain.aggregate_train(round, replies)
        found, metrics = summed.aggregate_train(round, [one])
        step = np.abs(expected["w"].numpy() - arrays["w"].numpy()).max()
        np.testing.assert_allclose(found["w"].numpy(), expected["w"].numpy(), atol=2e-4 * step + 3e-6)
        assert "loss" in metrics
        arrays = ArrayRecord({"w": Array(expected["w"].numpy().astype(np.float32))})


def reply(message: Message, arrays: ArrayRecord, draw: np.random.Generator) -> Message:
    value = arrays["w"].numpy() + draw.uniform(0.2, 0.5, (6, 4)).astype(np.float32)
    metrics = MetricRecord({"num-examples": int(draw.integers(5, 60)), "loss": float(draw.random())})
    return Message(RecordDict({"arrays": ArrayRecord({"w": Array(value)}), "metrics": metrics}), reply_to=message)


def as_mean(asked: list[Message], arrays: ArrayRecord, replies: list[Message]) -> Message:
    """Both halves of it, and between them the plain sum of integers that every protection opens."""
    reported = Reported.of(arrays, {}, {"loss": 8.0}, "num-examples", 60)
    layout = reported.layout(CODEC)
    sent = RecordDict({"arrays": arrays})
    total = sum(layout.encode(reported.update(sent, each.content)).astype(np.int64) for each in replies)
    return reported.reply(sent, layout.decode(total, len(replies)), asked[0])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: flower.Krum(**NONE), "Krum compares single updates"),
        (lambda: flower.MultiKrum(**NONE), "MultiKrum compares single updates"),
        (lambda: flower.Bulyan(**NONE), "Bulyan compares single updates"),
        (lambda: flower.FedMedian(**NONE), "FedMedian takes medians"),
        (lambda: flower.FedTrimmedAvg(**NONE), "FedTrimmedAvg leaves out"),
        (lambda: flower.QFedAvg(0.1, **NONE), "QFedAvg weighs each"),
        (lambda: flower.FedXgbBagging(**NONE), "FedXgbBagging appends"),
        (
            lambda: flower.DifferentialPrivacyServerSideFixedClipping(FedAvg(**NONE), 1.0, 1.0, 5),
            "DifferentialPrivacyServerSideFixedClipping clips single updates at the server",
        ),
        (
            lambda: flower.DifferentialPrivacyClientSideFixedClipping(flower.Krum(**NONE), 1.0, 1.0, 5),
            "Krum compares single updates",
        ),
        (lambda: type("Mine", (flower.Krum,), {})(**NONE), "Mine compares single updates"),
        (lambda: "FedAvg", "give a strategy of flwr"),
        (lambda: SecureSums(FedAvg(**NONE)), "SecureSums is given another SecureSums: one protection is enough"),
    ],
)
def test_strategies_that_look_at_single_replies_are_refused_by_name(make, said):
    with pytest.raises(BadInput, match=said):
        SecureSums(make())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"protection": Plain()}, "protection none hides nothing: take paillier, threshold or masks"),
        ({"metrics": {"loss": 0}}, r"metrics\['loss'\] is 0, it must be above 0"),
        ({"bounds": {"w": "wide"}}, r"bounds\['w'\] is 'wide', a number is needed"),
        ({"deadline": -1}, "deadline is -1, it must be above 0"),
        ({"protection": "masks", "openers": "node"}, "protection masks has no openers: leave openers out"),
        ({"max_weight": 0}, "max_weight is 0, it must be at least 1"),
        ({"strategy": FedAvg()}, "fraction_evaluate is 1, .*name it in evaluate_metrics, or set fraction_evaluate=0.0"),
    ],
)
def test_options_that_cannot_be_are_named(options, said):
    with pytest.raises(BadInput, match=said):
        SecureSums(**{"strategy": FedAvg(**NONE)} | options)


def test_bounds_of_no_array_are_named():
    arrays = ArrayRecord({"w": Array(np.zeros(2))})
    with pytest.raises(BadInput, match="bounds names 'v', the arrays are w"):
        Reported.of(arrays, {"v": 1.0}, {}, "num-examples", 10)
    with pytest.raises(BadInput, match="array 'w' is of type bool"):
        Reported.of(ArrayRecord({"w": Array(np.zeros(2, bool))}), {}, {}, "num-examples", 10)


def test_a_counter_without_dimensions_keeps_its_type_and_shape():
    arrays = ArrayRecord({"steps": Array(np.array(7, np.int32)), "w": Array(np.zeros(2))})
    reported = Reported.of(arrays, {"steps": 1000.0}, {}, "num-examples", 60)
    layout, sent = reported.layout(CODEC), RecordDict({"arrays": arrays})
    with identity(1):
        asked = Message(sent, 5, "train")
    total = np.zeros(len(layout), np.int64)
    for steps, weight in ((10, 20), (16, 40)):
        changed = ArrayRecord({"steps": Array(np.array(steps, np.int32)), "w": Array(np.ones(2))})
        records = RecordDict({"a": changed, "m": MetricRecord({"num-examples": weight})})
        total += layout.encode(reported.update(sent, records))
    got = reported.reply(sent, layout.decode(total, 2), asked).content["arrays"]
    assert (got["steps"].numpy().dtype, got["steps"].numpy().shape, got["steps"].numpy()) == (np.int32, (), 14)
    np.testing.assert_allclose(got["w"].numpy(), 1, atol=1e-6)


def test_flowers_accountant_which_counts_replies_is_refused():
    accounting = flower.DifferentialPrivacyClientSideFixedClipping(FedAvg(**NONE), 1.0, 1.0, 5)
    accounting.accountant = object()  # of the releases that have one
    with pytest.raises(BadInput, match="has an accountant, which counts single replies"):
        SecureSums(accounting)
