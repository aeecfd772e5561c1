"""A layout as it is in one round: what is sent, what clients keep of their updates, whose coins round them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlearn.crypto import FixedPoint
from fedlearn.secure import Plain
from fedlearn.secure.compression import Compression, kept
from fedlearn.secure.layouts import layout_of
from fedlearn.secure.rounds import RoundLayout
from fedlearn.seeding import stream
from fedlearn.strategies import FedAvg
from fedlearn.strategies.base import LocalUpdate
from fedlearn.travel import description
from tests.secure.plans import plan_of

WEIGHTS = 12


def made(codec: FixedPoint, round: int = 1, **compression) -> RoundLayout:
    asked = Compression(**compression)
    strategy = FedAvg()
    layout = layout_of(strategy.outputs(WEIGHTS), codec, 8, compression=asked)
    plan = replace(
        plan_of(Plain(codec), 1), strategy=description(strategy), layout=layout.to_dict(), compression=asked.to_dict()
    )
    return RoundLayout.of(plan, layout, round, np.zeros(WEIGHTS, np.float32), {})


CODEC = FixedPoint(8, 1.0, 10, "clip")
DELTAS = np.linspace(-1.2, 1.1, 2 * WEIGHTS).reshape(2, WEIGHTS).astype(np.float32)
STACKED = LocalUpdate({"delta": DELTAS}, 8, np.zeros(2))
NOTHING = {kept("delta"): np.zeros((2, WEIGHTS), np.float32)}


def test_what_was_not_sent_or_rounded_away_stays_with_the_client():
    spec = made(CODEC, share=0.5, feedback=True)
    assert spec.whole
    lanes, left = spec.encode(STACKED, [3, 4], NOTHING)
    assert lanes.shape == (2, len(spec.layout))
    entered = np.zeros((2, WEIGHTS))
    entered[:, spec.sent] = spec.layout.entered(lanes, 8)["delta"]
    assert len(spec.sent) == 6
    np.testing.assert_allclose(left[kept("delta")], STACKED.vectors["delta"] - entered, atol=1e-6)
    again, rest = spec.encode(STACKED, [3, 4], left)
    np.testing.assert_allclose(
        rest[kept("delta")] + spec.spread("delta", spec.layout.entered(again, 8)["delta"]),
        STACKED.vectors["delta"] + left[kept("delta")], atol=1e-6,
    )  # fmt: skip


def test_without_feedback_nothing_is_kept():
    for given in ({}, {"share": 0.5}):
        spec = made(CODEC, **given)
        lanes, left = spec.encode(STACKED, [3, 4], {})
        assert left == {}
        assert lanes.shape == (2, len(spec.layout))
        assert spec.whole == bool(given)
    sent = made(CODEC, share=0.5)
    mean = sent.decode(sent.encode(STACKED, [3, 4], {})[0].astype(np.int64).sum(axis=0), 2).mean["delta"]
    assert np.count_nonzero(mean) <= 6
    others = np.setdiff1d(np.arange(WEIGHTS), sent.sent)
    assert not mean[others].any()
    whole = made(CODEC).encode(STACKED, [3, 4], {})[0].astype(np.int64).sum(axis=0)
    assert np.count_nonzero(made(CODEC).decode(whole, 2).mean["delta"]) > 6


def test_rounds_send_other_weights():
    assert made(CODEC, share=0.5).sent.tolist() == made(CODEC, share=0.5).sent.tolist()
    assert made(CODEC, share=0.5).sent.tolist() != made(CODEC, 2, share=0.5).sent.tolist()


@pytest.mark.parametrize("feedback", [False, True])
def test_each_client_rounds_by_coins_of_its_own(feedback):
    codec = FixedPoint(8, 1.0, 10, "clip", "stochastic")
    spec = made(codec, feedback=feedback)
    assert spec.whole
    lanes, _ = spec.encode(STACKED, [3, 4], NOTHING)
    coins = np.stack([stream(0, "rounding", 1, client).random(WEIGHTS) for client in (3, 4)])
    expected = spec.layout.encode(STACKED, {"delta": coins})
    assert lanes.tolist() == expected.tolist()
    alone, _ = spec.encode(STACKED.among(slice(1, 2)), [4], {kept("delta"): np.zeros((1, WEIGHTS), np.float32)})
    assert alone[0].tolist() == lanes[1].tolist()
    noisy = replace(spec, plan=replace(spec.plan, privacy={"seed": None}))
    secret = [noisy.encode(STACKED, [3, 4], NOTHING)[0].tolist() for _ in range(2)]
    assert secret[0] != secret[1]
    seeded = replace(spec, plan=replace(spec.plan, privacy={"seed": 5}))
    assert seeded.encode(STACKED, [3, 4], NOTHING)[0].tolist() == lanes.tolist()
    assert spec.narrowed(5).layout.segments[0].length == 5
