"""Updates of few bits, of a share of the weights, with what rounding took kept: means stay within what is stated."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, CodecError, ProtocolError
from fedlearn.protocol import RunPlan
from fedlearn.secure import Plain
from fedlearn.secure.compression import BROADCAST, MOST_FINER, NO_COMPRESSION, Compression, finer, kept
from fedlearn.secure.layouts import layout_of, layout_of_plan
from fedlearn.secure.rounds import RoundLayout
from fedlearn.strategies import FedAvg
from fedlearn.strategies.base import LocalUpdate, Output, Strategy
from fedlearn.travel import description
from tests.secure.plans import plan_of

SIZE, CLIENTS = 40, 6
PLAIN = FedAvg()


class Counted(FedAvg):
    """Sends beside the delta as many numbers as a round sends of the weights: by accident, and of all clients."""

    def outputs(self, parameters):
        return {"delta": Output(parameters), "norms": Output(parameters // 2)}


def agreed(
    codec: FixedPoint, compression: Compression = NO_COMPRESSION, seed: int = 0, size: int = SIZE,
    strategy: Strategy = PLAIN,
) -> RunPlan:  # fmt: skip
    layout = layout_of(strategy.outputs(size), codec, 50, None, compression).to_dict()
    described = {"strategy": description(strategy), "compression": compression.to_dict(), "seed": seed}
    return replace(plan_of(Plain(codec), size), layout=layout, **described)


def in_round(plan: RunPlan, number: int = 1, bits: int = 0, size: int = SIZE) -> RoundLayout:
    state = {BROADCAST: np.array([bits], np.float32)}
    return RoundLayout.of(plan, layout_of_plan(plan), number, np.zeros(size, np.float32), state)


codecs = st.builds(
    lambda bits, rounding: FixedPoint(bits, 1.0, CLIENTS, "clip", rounding),
    st.integers(2, 10), st.sampled_from(["nearest", "stochastic"]),
)  # fmt: skip
compressions = st.builds(
    Compression, auto=st.booleans(), feedback=st.booleans(), share=st.sampled_from([1.0, 0.5, 0.1])
)


@settings(max_examples=60)
@given(codecs, compressions, st.integers(0, 2**32), st.floats(1e-4, 3))
def test_over_rounds_no_mean_is_further_off_than_its_stated_bound(codec, compression, seed, scale):
    """Of what clients entered, with what they had left; whatever bits, rounding, bound, mask and feedback."""
    rng = np.random.default_rng(seed)
    plan, bits = agreed(codec, compression, seed), codec.fraction_bits
    left = [{kept("delta"): np.zeros(SIZE, np.float32)} for _ in range(CLIENTS)]
    for number in range(1, 4):
        layout = in_round(plan, number, bits)
        total, exact, weights = 0, np.zeros(SIZE), 0
        for client in range(CLIENTS):
            examples = int(rng.integers(1, 60))
            update = LocalUpdate({"delta": rng.standard_t(3, SIZE).astype(np.float32) * scale}, examples, 0.5)
            entered = update.vectors["delta"] + (left[client][kept("delta")] if compression.feedback else 0)
            lanes, after = layout.encode(update, [client], left[client])
            total, left[client] = total + lanes.astype(np.int64), after or left[client]
            exact, weights = exact + min(examples, 50) * entered.astype(np.float64), weights + min(examples, 50)
        found = layout.decode(total, CLIENTS)
        sent = slice(None) if layout.sent is None else layout.sent
        error = np.abs(found.mean["delta"] - exact / weights)[sent]
        assert np.max(error) <= found.error_bound * (1 + 1e-9)
        assert np.count_nonzero(found.mean["delta"]) <= compression.sent_of(SIZE)
        if compression.auto:
            assert abs(found.finer["delta"]) <= MOST_FINER
            bits = max(0, bits + round(found.finer["delta"]))


@given(codecs, st.integers(0, 2**32), st.floats(1e-3, 1))
def test_what_is_left_and_what_entered_make_the_update(codec, seed, scale):
    """Nothing is lost: rounded off, clipped, or not sent, it is kept."""
    compression, rng = Compression(feedback=True, share=0.5), np.random.default_rng(seed)
    plan = agreed(codec, compression, seed)
    update = LocalUpdate({"delta": (scale * rng.standard_normal(SIZE)).astype(np.float32)}, 50, 0.5)
    before = {kept("delta"): rng.standard_normal(SIZE).astype(np.float32)}
    layout = in_round(plan)
    lanes, after = layout.encode(update, [0], before)
    entered = layout.spread("delta", layout.layout.entered(lanes, 50)["delta"])
    assert entered + after[kept("delta")] == pytest.approx(update.vectors["delta"] + before[kept("delta")], abs=1e-6)


def test_an_output_that_is_as_long_as_what_is_sent_is_not_taken_for_weights():
    codec = FixedPoint(20, 4.0, CLIENTS)
    layout = in_round(agreed(codec, Compression(share=0.5), strategy=Counted()))
    norms = np.linspace(0, 1, SIZE // 2).astype(np.float32)
    lanes, _ = layout.encode(LocalUpdate({"delta": np.ones(SIZE, np.float32), "norms": norms}, 50, 0.5), [0], {})
    found = layout.decode(lanes.astype(np.int64), 1)
    assert found.mean["norms"] == pytest.approx(norms, abs=1e-4)
    assert np.flatnonzero(found.mean["delta"]).tolist() == layout.sent.tolist()


@given(codecs, st.integers(0, 2**32), st.floats(1e-6, 1e3), st.integers(1, 50))
def test_the_bound_that_clients_ask_for_has_the_least_error(codec, seed, scale, size):
    values = np.random.default_rng(seed).standard_t(2, size) * scale
    codec = replace(codec, bound=np.ldexp(codec.limit, -3))

    def error(bits: int) -> float:
        scaled = np.ldexp(values, bits)
        within = np.clip(scaled, -codec.limit, codec.limit)
        part = within - np.floor(within)
        rounding = part * (1 - part) if codec.rounding == "stochastic" else np.minimum(part, 1 - part) ** 2
        return float(np.ldexp(np.sum((scaled - within) ** 2 + rounding), -2 * bits))

    asked = int(finer(values, codec))
    largest = int(np.floor(np.log2(codec.limit / np.abs(values).max())))
    best = min(range(largest, largest + 4), key=error)
    assert asked == np.clip(best - 3, -MOST_FINER, MOST_FINER)


def test_values_that_are_all_0_move_no_bound():
    for codec in (FixedPoint(4, 1.0, 3), FixedPoint(4, 0.1, 3)):
        with np.errstate(all="raise"):  # else each client without a change would warn of a division by zero
            assert finer(np.zeros((3, 4)), codec).tolist() == [0, 0, 0]
            assert finer(np.zeros(0), codec) == 0


def test_stochastic_rounding_is_right_in_the_mean_and_each_clients_own():
    codec = FixedPoint(4, 1.0, 4096, "clip", "stochastic")
    plan, clients = agreed(codec), range(2000)
    values = np.tile(np.linspace(-0.9, 0.9, SIZE, dtype=np.float32), (2000, 1))
    update = LocalUpdate({"delta": values}, 50, np.full(2000, 0.5))
    layout = in_round(plan)
    lanes, _ = layout.encode(update, clients, {})
    found = layout.decode(lanes.sum(axis=0, dtype=np.int64), 2000).mean["delta"]
    assert found == pytest.approx(values[0], abs=0.25 * 0.5 / np.sqrt(2000) * 5)  # steps of a quarter
    assert (lanes[0, :SIZE] != lanes[1, :SIZE]).any()
    alone, _ = layout.encode(LocalUpdate({"delta": values[7]}, 50, 0.5), [7], {})
    assert alone.tolist() == lanes[7].tolist()  # whoever is beside it
    other, _ = in_round(plan, 2).encode(LocalUpdate({"delta": values[7]}, 50, 0.5), [7], {})
    assert other.tolist() != alone.tolist()
    with pytest.raises(CodecError, match="needs coins"):
        codec.encode(values)


def test_everybody_draws_the_same_weights_of_a_round_and_others_in_the_next():
    compression = Compression(share=0.1)
    drawn = [compression.sent(3, number, 1000) for number in range(1, 40)]
    assert all(len(each) == 100 and (np.diff(each) > 0).all() for each in drawn)
    assert compression.sent(3, 1, 1000).tolist() == drawn[0].tolist()
    assert all(one.tolist() != other.tolist() for one, other in pairwise(drawn))
    counts = np.bincount(np.concatenate(drawn), minlength=1000)
    assert counts.min() >= 0
    assert (counts > 0).mean() > 0.9  # nothing is left out for ever: 1 - 0.9^39 is .98
    assert NO_COMPRESSION.sent(3, 1, 1000) is None


@pytest.mark.parametrize("said", [[], [1, 2], [0.5], [-1], [np.nan], [2000]])
def test_a_request_without_bounds_is_refused_where_they_follow_updates(said):
    plan = agreed(FixedPoint(4, 1.0, 3), Compression(auto=True))
    state = {BROADCAST: np.array(said, np.float32)} if said else {}
    with pytest.raises(ProtocolError, match="1 whole number is needed"):
        RoundLayout.of(plan, layout_of_plan(plan), 1, np.zeros(SIZE, np.float32), state)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"share": 0}, "share is 0, it must be above 0"),
        ({"share": 1.5}, "share is 1.5, the most is 1"),
        ({"share": "half"}, "share is 'half'"),
        ({"auto": "yes"}, "auto is 'yes'"),
        ({"most_clipped": -1}, "most_clipped is -1, it must be at least 0"),
    ],
)
def test_compression_that_cannot_be_is_refused(changes, says):
    with pytest.raises(BadInput, match=says):
        Compression(**changes)
    with pytest.raises(ProtocolError, match="no compression"):
        Compression.read(changes)


def test_a_plan_with_a_compression_of_another_version_is_refused():
    with pytest.raises(ProtocolError, match="all parties must run one version"):
        Compression.read({"colour": 1})
