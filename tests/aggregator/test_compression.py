"""Runs of few bits and of a share of the weights: one model under every protection, resumed or not."""

from __future__ import annotations

import numpy as np
import pytest

from aggregator import Aggregator
from clients import Client, InlinePool, ProcessPool
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput
from fedlearn.secure import Masks, Plain
from fedlearn.strategies import FedAvg
from fedlearn.testing.toys import dense_examples, dense_model
from tests.aggregator.test_fit import run_folder, train
from tests.toys import toy_clients, toy_model, toy_paillier

WAYS = {
    "few bits": (4, "nearest", "auto=true"),
    "by chance": (6, "stochastic", "auto=true"),
    "kept": (3, "nearest", "auto=true,feedback=true"),
    "a share": (8, "stochastic", "share=0.3,feedback=true"),
    "all of it": (2, "stochastic", "auto=true,share=0.5"),
}


def codec(bits: int, rounding: str) -> FixedPoint:
    return FixedPoint(bits, 1.0, 16, "clip", rounding)


@pytest.mark.parametrize("way", WAYS)
def test_the_model_is_one_under_every_protection_and_pool(way):
    bits, rounding, compression = WAYS[way]
    fixed = codec(bits, rounding)
    clients = toy_clients(4)
    runs = [
        (Plain(fixed), InlinePool(clients)), (Masks(fixed, min_cohort=3), InlinePool(clients)),
        (toy_paillier(codec=fixed), InlinePool(clients)), (Plain(fixed), ProcessPool(clients, workers=2)),
    ]  # fmt: skip
    compression += ",most_clipped=1"
    found = [train(hidden, pool=pool, rounds=3, compression=compression) for hidden, pool in runs]
    assert all(history.counted == 3 for _, history in found)
    assert len({weights.tobytes() for weights, _ in found}) == 1
    assert not np.array_equal(found[0][0], toy_model().vector)
    bounds = [record.bound for record in found[0][1].rounds]
    assert all(history.rounds[i].bound == bounds[i] for _, history in found for i in range(3))
    if "auto" in compression:
        assert bounds[0]["delta"] != bounds[2]["delta"]


def test_side_by_side_and_one_by_one_clients_round_and_keep_the_same():
    clients = [Client(f"c{i}", dense_examples(6, seed=i)) for i in range(4)]
    found = set()
    for stack in ("on", "off"):
        model = dense_model()
        aggregator = Aggregator(
            model, FedAvg(batch_size=2), Plain(codec(4, "stochastic")), seed=1, stack=stack,
            compression="auto=true,feedback=true,share=0.5",
        )  # fmt: skip
        aggregator.fit(InlinePool(clients), 3, progress=False)
        found.add(model.vector.tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("way", ["kept", "a share", "all of it"])
def test_a_resumed_run_goes_on_with_its_bounds_and_what_clients_kept(way, tmp_path):
    bits, rounding, compression = WAYS[way]
    how = {"protection": Plain(codec(bits, rounding)), "compression": compression + ",most_clipped=1"}
    whole, uninterrupted = train(rounds=4, **how)
    train(rounds=2, folder=run_folder(tmp_path / "run"), **how)
    weights, history = train(rounds=4, folder=run_folder(tmp_path / "run", resume=True), **how)
    assert weights.tobytes() == whole.tobytes()
    assert [record.bound for record in history.rounds] == [record.bound for record in uninterrupted.rounds]


def test_bounds_come_down_to_the_updates_whatever_they_begin_with():
    for begin in (2.0**-12, 1.0, 7.0):
        fixed = FixedPoint(8, begin, 16, "clip")
        _, history = train(Plain(fixed), rounds=6, compression="auto=true")
        assert 0.005 < history.rounds[-1].bound["delta"] < 1
        assert history.rounds[-1].clipped < 20
        assert history.rounds[-1].error_bound is not None


def test_several_outputs_have_bounds_of_their_own():
    _, history = train(Plain(codec(8, "nearest")), strategy="scaffold:lr=0.5", rounds=4, compression="auto=true")
    assert history.rounds[-1].bound.keys() == {"delta", "delta_c"}
    assert history.rounds[-1].bound["delta"] != history.rounds[-1].bound["delta_c"]


@pytest.mark.parametrize(
    ("compression", "how", "says"),
    [
        ("auto=true", {"protection": Plain(FixedPoint(8, 1.0, 16))}, "overflow is refuse: set overflow=clip"),
        ("share=0.5", {"strategy": "scaffold"}, "sparsify 0.5 under strategy scaffold"),
        ("feedback=true", {"privacy": "noise=1,clip=1", "cohort": 3}, "error feedback with noise"),
        ("share=2", {}, "share is 2, the most is 1"),
        ("halve=true", {}, "compression has no 'halve'"),
        (3, {}, "compression is 3"),
    ],
)
def test_what_does_not_go_together_is_refused(compression, how, says):
    with pytest.raises(BadInput, match=says):
        train(compression=compression, **how)


def test_a_folder_of_another_compression_is_not_gone_on_with(tmp_path):
    def run(compression: str, rounds: int) -> None:
        aggregator = Aggregator(toy_model(), FedAvg(), "none", folder=tmp_path / "run", compression=compression)
        aggregator.fit(InlinePool(toy_clients()), rounds, progress=False)

    run("auto=true", 1)
    with pytest.raises(BadInput):
        run("auto=true,feedback=true", 2)
