"""The layout of counts: what fits it, what comes out, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.crypto import FixedPoint
from fedlearn.errors import CodecError, RoundVoid, ShapeError
from fedlearn.queries import Counts
from fedlearn.secure.counts import CountLayout, counting_codec
from fedlearn.secure.layouts import read_layout
from fedlearn.strategies.base import LocalUpdate

ENTRIES = {"n": Counts(1, 9), "bins": Counts(3, 5)}
LAYOUT = CountLayout.of_counts(ENTRIES, counting_codec(ENTRIES, 4))


def counts(n, bins) -> LocalUpdate:
    return LocalUpdate({"n": np.array(n), "bins": np.array(bins)}, examples=1, loss=0.0)


def test_it_goes_through_the_plan_and_comes_back_the_same():
    again = read_layout(LAYOUT.to_dict(), LAYOUT.codec)
    assert type(again) is CountLayout
    assert again == LAYOUT


@given(st.lists(st.tuples(st.integers(0, 9), st.lists(st.integers(0, 5), min_size=3, max_size=3)), max_size=4))
def test_sums_come_out_as_they_went_in(clients):
    total = sum((LAYOUT.encode(counts([n], bins)).astype(np.int64) for n, bins in clients), np.zeros(4, np.int64))
    found = LAYOUT.decode(total, len(clients)).sums
    assert found["n"].tolist() == [sum(n for n, _ in clients)]
    assert found["bins"].tolist() == [sum(bins[i] for _, bins in clients) for i in range(3)]


@given(st.integers(1, 2**40), st.integers(1, 2000))
def test_the_narrowest_lanes_hold_the_largest_sum_exactly_and_no_narrower_do(most, addends):
    codec = counting_codec({"n": Counts(1, most)}, addends)
    assert most <= codec.limit
    assert codec.fraction_bits == 0
    assert codec.bits == 2 or most > (1 << (codec.bits - 2)) - 1


@pytest.mark.parametrize(("n", "bins"), [([10], [0, 0, 0]), ([0], [-1, 0, 0]), ([0], [0, 0, 6]), ([0.5], [0, 0, 0])])
def test_what_one_client_may_not_enter_is_refused(n, bins):
    with pytest.raises(CodecError, match="are agreed on: ask with a higher most"):
        LAYOUT.encode(counts(n, bins))


def test_another_length_is_refused():
    with pytest.raises(ShapeError):
        LAYOUT.encode(counts([1], [1, 1]))


@pytest.mark.parametrize("total", [[19, 0, 0, 0], [0, -1, 0, 0], [0, 0, 11, 0]])
def test_an_opened_sum_beyond_what_honest_clients_count_is_not_used(total):
    with pytest.raises(RoundVoid, match="so it is not used"):
        LAYOUT.decode(np.array(total), 2)


def test_counts_that_no_lane_holds_are_refused():
    with pytest.raises(CodecError, match="at most 63, so lower bits or addends"):
        counting_codec({"n": Counts(1, 2**60)}, 100)
    with pytest.raises(CodecError, match="n may be up to 9 of one client, 4 bits hold 7"):
        CountLayout.of_counts(ENTRIES, FixedPoint(4, 7.0, 4))
