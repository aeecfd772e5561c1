"""Compressed sums, beside values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aggregator import RoundRecord
from aggregator.compressing import Compressing
from aggregator.robust import as_rule
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, CodecError
from fedlearn.privacy.asked import Privacy
from fedlearn.secure.aggregate import Aggregate
from fedlearn.secure.compression import Compression
from fedlearn.strategies import FedAvg
from fedlearn.strategies.base import Output
from fedlearn.strategies.scaffold import Scaffold

CODEC = FixedPoint(12, 4.0, 20, "clip")
OUTPUTS = {"delta": Output(10)}


def agreed(asked=Compression(), codec=CODEC, strategy=FedAvg(), privacy=None, rule=None) -> Compressing:  # noqa: B008
    return Compressing.agreed(asked, codec, strategy, 10, privacy, rule)


def test_bounds_follow_what_clients_said():
    auto = agreed(Compression(auto=True))
    first = auto.first()["fraction_bits"]
    assert first.tolist() == [CODEC.fraction_bits]
    assert auto.moved({"fraction_bits": first}, Aggregate({}, 2, finer={"delta": 1.6}))["fraction_bits"] == [first + 2]
    low = np.zeros(1, np.float32)
    assert auto.moved({"fraction_bits": low}, Aggregate({}, 2, finer={"delta": -3}))["fraction_bits"] == [0]
    assert auto.moved({"fraction_bits": low + 960}, Aggregate({}, 2, finer={"delta": 3}))["fraction_bits"] == [960]
    assert agreed().first() == agreed().moved({}, Aggregate({}, 2)) == {}
    record = RoundRecord(1)
    auto.enter(record, {"fraction_bits": np.array([3.0], np.float32)}, Aggregate({}, 2, clipped=10**6))
    assert record.bound == {"delta": 2047 / 8}


def test_means_of_a_share_are_applied_whole():
    mean = {"delta": np.ones(10)}
    assert agreed(Compression(share=0.2)).scaled(mean)["delta"].tolist() == [5.0] * 10
    assert agreed(Compression(share=0.2, feedback=True)).scaled(mean) is mean
    assert agreed().scaled(mean) is mean


def test_more_clipped_than_may_be_ends_the_run():
    some = agreed(Compression(most_clipped=0.1))  # 3 clients of 10 values: 3 may be clipped, and one client's 10
    some.enter(RoundRecord(1), {}, Aggregate({}, 3, clipped=13))
    with pytest.raises(CodecError) as refused:
        some.enter(RoundRecord(7), {}, Aggregate({}, 3, clipped=14))
    assert str(refused.value) == (
        "46.7% of the values of round 7 were clipped at the bound 4, 10% may be: "
        "raise bound, bound=auto or most_clipped in the codec"
    )
    clipped = RoundRecord(1)
    private = agreed(Compression(auto=True), privacy=Privacy(epsilon=3, clip=0.5))
    private.enter(clipped, {}, Aggregate({}, 3))
    assert (clipped.bound, private.compression.auto) == ({"delta": 0.5}, False)


@pytest.mark.parametrize(("given", "text"), [
    ({"asked": Compression(feedback=True), "privacy": Privacy(epsilon=3, clip=1)}, "error feedback with noise"),
    ({"asked": Compression(share=0.5), "privacy": Privacy(epsilon=3, clip=1, unit="example")}, "sparsify or rounding"),
    ({"codec": replace(CODEC, rounding="stochastic"), "privacy": Privacy(epsilon=3, clip=1, unit="example")},
     "sparsify or rounding"),
    ({"asked": Compression(auto=True), "codec": replace(CODEC, overflow="refuse")}, "bound=auto moves a bound"),
    ({"asked": Compression(share=0.5), "strategy": Scaffold()}, "sparsify 0.5 under strategy scaffold"),
    ({"asked": Compression(share=0.5), "rule": as_rule("fltrust")}, "sparsify 0.5 with fltrust"),
])  # fmt: skip
def test_compressions_that_do_not_go_together(given, text):
    with pytest.raises(BadInput, match=f"^{text}"):
        agreed(**given)


@pytest.mark.parametrize("given", [
    {"asked": Compression(feedback=True)}, {"asked": Compression(share=0.5), "privacy": Privacy(epsilon=3, clip=1)},
    {"asked": Compression(auto=True)}, {"asked": Compression(share=0.5, feedback=True), "strategy": Scaffold()},
    {"asked": Compression(auto=True), "privacy": Privacy(epsilon=3, clip=1),
     "codec": replace(CODEC, overflow="refuse")},
    {"rule": as_rule("fltrust")}, {"asked": Compression(share=0.5), "rule": as_rule("median")},
])  # fmt: skip
def test_compressions_that_do(given):
    agreed(**given)
