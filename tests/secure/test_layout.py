"""A local update goes into integer lanes and the weighted mean comes out, within the bound that is stated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.crypto import FixedPoint
from fedlearn.errors import CodecError, ProtocolError, RoundVoid, ShapeError
from fedlearn.secure.layout import LOSS_BOUND, Layout
from fedlearn.secure.layouts import layout_of, read_layout
from fedlearn.strategies.base import LocalUpdate, Output

MAX_WEIGHT = 50


def layout(length: int = 4, **changes) -> Layout:
    codec = FixedPoint(**{"bits": 20, "bound": 2.0, "addends": 30} | changes)
    return layout_of({"delta": Output(length)}, codec, MAX_WEIGHT)


def update(delta, examples=10, loss=0.5) -> LocalUpdate:
    return LocalUpdate({"delta": np.array(delta, np.float32)}, examples, loss)


values = st.lists(st.floats(-2, 2, width=32), min_size=4, max_size=4)
updates = st.lists(st.builds(update, values, st.integers(1, 2 * MAX_WEIGHT), st.floats(0, 60)), min_size=1, max_size=30)


@given(updates)
def test_the_mean_is_weighted_and_within_its_error_bound(cohort):
    spec = layout()
    total = sum(spec.encode(one) for one in cohort)
    aggregate = spec.decode(total, len(cohort))
    weights = np.array([min(one.examples, MAX_WEIGHT) for one in cohort], np.float64)
    exact = weights @ np.array([one.vectors["delta"] for one in cohort], np.float64) / weights.sum()
    assert np.max(np.abs(aggregate.mean["delta"] - exact)) <= aggregate.error_bound * (1 + 1e-9)
    assert aggregate.weight == weights.sum()
    assert aggregate.capped == sum(one.examples > MAX_WEIGHT for one in cohort)
    assert aggregate.addends == len(cohort)
    assert aggregate.clipped == 0
    step = LOSS_BOUND * 2.0**-18  # of the loss lane's codec: 20 bits for +-64
    assert abs(aggregate.loss - weights @ [one.loss for one in cohort] / weights.sum()) <= (
        step * len(cohort) * MAX_WEIGHT / weights.sum()
    )


def test_the_error_bound_is_that_of_the_paper_formula():
    spec = layout(bits=20, bound=2.0)  # 2^17 * 2 fits 2^19 - 1, 2^18 * 2 does not: f = 17
    total = spec.encode(update([0, 0, 0, 0], examples=10)) * 3
    assert spec.decode(total, 3).error_bound == pytest.approx(3 * 2.0**-18 * MAX_WEIGHT / 30)


def test_clipping_is_counted_only_where_it_is_allowed():
    wild = update([5.0, -7.0, 1.0, 0.0], examples=MAX_WEIGHT)
    with pytest.raises(CodecError, match="worst is -7"):
        layout().encode(wild)
    clipping = layout(overflow="clip")
    aggregate = clipping.decode(clipping.encode(wild), 1)
    assert aggregate.clipped == 2
    assert aggregate.mean["delta"] == pytest.approx([2, -2, 1, 0])


@given(
    st.lists(st.builds(update, st.lists(st.floats(-300, 300, width=32), min_size=4, max_size=4), st.integers(1, 60)))
)
def test_what_clipping_takes_away_is_within_the_error_bound(cohort):
    cohort = [update([5, 0, 0, 0], 50), *cohort][:30]
    spec = layout(bits=20, bound=2.0, overflow="clip")
    aggregate = spec.decode(sum(spec.encode(one) for one in cohort), len(cohort))
    weights = np.array([min(one.examples, MAX_WEIGHT) for one in cohort], np.float64)
    exact = weights @ np.array([one.vectors["delta"] for one in cohort], np.float64) / weights.sum()
    assert np.max(np.abs(aggregate.mean["delta"] - exact)) <= aggregate.error_bound
    share = weights[:, None] / MAX_WEIGHT
    beyond = np.maximum(np.abs(share * [one.vectors["delta"] for one in cohort]) - 2.0, 0).max(axis=1)
    told = beyond.sum() + len(cohort) * (2.0 / 64 + 2.0**-18)  # in steps of a sixty-fourth of the bound
    assert aggregate.error_bound <= told * MAX_WEIGHT / weights.sum() * (1 + 1e-9)


def test_of_values_too_far_beyond_the_bound_it_says_that_nothing_can_be_said():
    spec = layout(overflow="clip")
    assert spec.decode(spec.encode(update([1e9, 0, 0, 0])), 1).error_bound == np.inf


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_refused_even_under_clipping(poison):
    with pytest.raises(CodecError, match="NaN or infinite"):
        layout(overflow="clip").encode(update([0, poison, 0, 0]))


def test_a_diverged_loss_is_refused_and_a_large_one_saturates():
    spec = layout()
    with pytest.raises(CodecError, match="NaN"):
        spec.encode(update([0, 0, 0, 0], loss=float("nan")))
    assert spec.decode(spec.encode(update([0] * 4, examples=50, loss=1e9)), 1).loss == pytest.approx(
        LOSS_BOUND, rel=1e-3
    )


def test_a_model_that_grew_is_refused():
    with pytest.raises(ShapeError, match=r"\(5,\), the plan says \(4,\)"):
        layout().encode(update([0] * 5))
    with pytest.raises(ShapeError, match="a sum of shape"):
        layout().decode(np.zeros(5, np.int64), 1)


def test_weights_whose_sum_does_not_fit_63_bits_are_refused_before_the_run():
    codec = FixedPoint(bits=8, bound=1.0, addends=4)
    with pytest.raises(
        CodecError, match=f"max_weight is {2**60 + 1}, a sum of 4 addends holds weights of 1 to {2**60}"
    ):
        layout_of({"delta": Output(3)}, codec, max_weight=2**60 + 1)
    assert layout_of({"delta": Output(3)}, codec, max_weight=2**55).max_weight == 2**55


@given(updates, st.integers(2, 15), st.sampled_from([50, 4096, 2**20]))
def test_numbers_beside_few_bits_keep_a_width_of_their_own(cohort, bits, max_weight):
    """Weight, loss and counts are as exact beside 2 bits as beside 24."""
    codec = FixedPoint(bits, 1.0, 30, "clip")
    few = layout_of({"delta": Output(4)}, codec, max_weight)
    found = few.decode(sum(few.encode(one).astype(np.int64) for one in cohort), len(cohort))
    weights = np.array([min(one.examples, max_weight) for one in cohort])
    assert (found.weight, found.addends) == (weights.sum(), len(cohort))
    assert found.capped == sum(one.examples > max_weight for one in cohort)
    share = weights[:, None] / max_weight * [one.vectors["delta"] for one in cohort]
    assert found.clipped == np.count_nonzero(np.abs(share) > 1)
    loss = weights @ [one.loss for one in cohort] / weights.sum()
    assert abs(found.loss - loss) <= 2.0**-9 * len(cohort) * max_weight / weights.sum()  # 16 bits for +-64
    exact = weights @ np.array([one.vectors["delta"] for one in cohort], np.float64) / weights.sum()
    assert np.max(np.abs(found.mean["delta"] - exact)) <= found.error_bound * (1 + 1e-9)
    assert read_layout(few.to_dict(), codec) == few


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_plan_whose_numbers_have_other_lanes_than_they_take_is_refused(lanes):
    codec = FixedPoint(9, 1.0, 30)
    plan = layout_of({"delta": Output(4)}, codec, 4096).to_dict()
    plan["segments"] = [row if row[0] != "weight" else (row[0], lanes, *row[2:]) for row in plan["segments"]]
    with pytest.raises(ProtocolError, match=f"weight takes 2 lanes, not {lanes}"):
        read_layout(plan, codec)


def test_a_layout_survives_the_plan():
    spec = layout(overflow="clip")
    assert read_layout(spec.to_dict(), spec.codec) == spec
    assert len(spec) == 4 + 5  # delta, then weight, loss, clipped, excess, capped


HOSTILE = {
    "delta": [2**23, -(2**23), 2**40, -(2**60)],
    "weight": [0, 2, -1, 3 * 64 + 1, 2**31],
    "loss": [3 * 2**23, -3 * 2**23],
    "clipped": [-1, 3 * 2**23],
    "excess": [-1, 3 * 2**23],
    "capped": [-1, 4],
}


@pytest.mark.parametrize(("lane", "value"), [(lane, value) for lane, values in HOSTILE.items() for value in values])
def test_a_sum_that_no_honest_clients_have_is_not_used(lane, value):
    layout = layout_of({"delta": Output(3)}, FixedPoint(24, 4.0, 16), max_weight=64)
    honest = sum(
        layout.encode(LocalUpdate({"delta": np.full(3, 0.5, np.float32)}, 10, 0.25)).astype(np.int64) for _ in range(3)
    )
    assert layout.decode(honest, 3).weight == 30
    damaged = honest.copy()
    at = 0
    for segment in layout.segments:
        if segment.name == lane:
            damaged[at] = value if lane != "delta" else value * 3 + (1 if value > 0 else -1)
        at += segment.length
    with pytest.raises(RoundVoid, match=f"cannot be one of updates, so it is not used: lane '{lane}' holds"):
        layout.decode(damaged, 3)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=8), st.floats(-5, 5), st.sampled_from(["refuse", "clip"]))
def test_every_honest_sum_is_possible(examples, value, overflow):
    layout = layout_of({"delta": Output(2)}, FixedPoint(16, 4.0, 16, overflow), max_weight=64)
    value = value if overflow == "clip" else value * 0.8
    sent = [
        layout.encode(LocalUpdate({"delta": np.full(2, value)}, count, 99.0)).astype(np.int64) for count in examples
    ]
    assert layout.decode(np.sum(sent, axis=0), len(sent)).addends == len(sent)
