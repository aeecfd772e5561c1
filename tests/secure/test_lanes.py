"""What stands in each lane of a protected vector, and what its sums are read as: each by its own formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedlearn.crypto import FixedPoint
from fedlearn.errors import ProtocolError
from fedlearn.queries.base import Counts
from fedlearn.secure.compression import FINER, MOST_FINER, Compression, finer, fraction_bits, of_weights
from fedlearn.secure.counts import CountLayout, counting_codec
from fedlearn.secure.layout import BOOKKEEPING, Layout
from fedlearn.secure.layouts import layout_of
from fedlearn.secure.segments import Segment, codec_of, number_beside
from fedlearn.strategies.base import LocalUpdate, Output

MOST = 8  # weight


def layout(bits: int = 24, auto: bool = False, **codec) -> Layout:
    outputs = {"delta": Output(3), "control": Output(2, bound=0.5)}
    return layout_of(outputs, FixedPoint(bits, 1.0, 10, **codec), MOST, compression=Compression(auto=auto))


def update(delta, examples: int = 5, loss: float = 2.0) -> LocalUpdate:
    vectors = {"delta": np.array(delta, np.float32), "control": np.array([0.25, -0.5], np.float32)}
    return LocalUpdate(vectors, examples, loss)


def numbers(spec: Layout, lanes: np.ndarray) -> dict[str, list[int]]:
    """The lanes by name, numbers in several of them read."""
    found, at = {}, 0
    for segment in spec.segments:
        part = lanes[at : at + segment.length]
        found[segment.name] = [segment.read(part)] if segment.kind != "vector" else part.tolist()
        at += segment.length
    return found


@pytest.mark.parametrize("bits", [4, 6, 8, 16, 17, 24, 32])
@pytest.mark.parametrize("examples", [1, 2, 5, 8, 9])
def test_each_lane_of_an_update(bits, examples):
    spec = layout(bits, overflow="clip")
    found = numbers(spec, spec.encode(update([0.5, -1.5, 4.0], examples)))
    weight = min(examples, MOST)
    share, limit = weight / MOST, 2 ** (bits - 1) - 1
    step = 2.0 ** -spec.segments[0].codec.fraction_bits
    assert found["delta"] == [round(min(1.0, max(-1.0, value * share)) / step) for value in (0.5, -1.5, 4.0)]
    assert found["control"] == [round(v * share * 2 ** spec.segments[1].codec.fraction_bits) for v in (0.25, -0.5)]
    assert found["weight"] == [weight]
    assert found["capped"] == [int(examples > MOST)]
    assert found["clipped"] == [sum(abs(value) * share > 1 for value in (0.5, -1.5, 4.0))]
    steps = 2 ** (max(bits, 16) // 3)
    assert found["excess"] == [min(math.ceil(max(0.0, 4 * share - 1) * steps), max(limit, 2**15 - 1))]
    loss = next(segment for segment in spec.segments if segment.name == "loss")
    assert found["loss"] == [round(2.0 * share * 2**loss.codec.fraction_bits)]
    assert tuple(list(found)[2:]) == BOOKKEEPING


@pytest.mark.parametrize("auto", [False, True])
def test_what_entered_is_what_the_lanes_stand_for(auto):
    spec = layout(12, auto)
    lanes = spec.encode(update([0.5, -0.75, 1.0], examples=4))
    entered = spec.entered(lanes, 4)
    assert entered["delta"].tolist() == [0.5, -0.75, 1.0]
    assert entered["control"].tolist() == [0.25, -0.5]


def test_sums_are_read_as_means_totals_and_a_bound_of_their_error():
    spec = layout(16, auto=True, overflow="clip")
    some = [update([0.5, -0.25, 3.0], 8), update([0.5, 0.25, 0.0], 4), update([0.125, 0.0, 0.0], 20)]
    found = spec.decode(sum(spec.encode(one).astype(np.int64) for one in some), 3)
    assert (found.addends, found.weight, found.capped, found.clipped) == (3, 20, 1, 1)
    np.testing.assert_allclose(found.mean["delta"], [0.35, -0.05, 0.4], atol=2.0**-13)
    assert found.loss == pytest.approx(2.0, abs=1e-2)
    steps = [spec.segments[i].codec for i in (0, 1)]
    half = 3 * 2.0 ** -(steps[0].fraction_bits + 1) * MOST / 20
    assert found.error_bound == pytest.approx(half + 2.0 * MOST / 20)
    wanted = {name: [finer(one.vectors[name] * min(one.examples, 8) / 8, codec) for one in some]
              for name, codec in zip(("delta", "control"), steps, strict=True)}  # fmt: skip
    assert found.finer == {name: pytest.approx(sum(each) / 3) for name, each in wanted.items()}


def test_an_excess_beyond_what_its_lane_holds_leaves_no_bound():
    spec = layout(16, overflow="clip")
    assert spec.decode(spec.encode(update([1e6, 0, 0], 8)).astype(np.int64), 1).error_bound == np.inf
    fits = spec.encode(update([1023.0, 0, 0], 8)).astype(np.int64)
    assert spec.decode(fits, 1).error_bound < 1023


def test_sums_at_the_edge_of_what_honest_clients_have_are_used_and_those_beyond_are_not():
    spec, clients = layout(12, auto=True), 4
    limit, wide = 2**11 - 1, 2**15 - 1
    edges = {
        "delta": (-clients * limit, clients * limit), "control": (-clients * limit, clients * limit),
        "weight": (clients, clients * MOST), "loss": (-clients * wide, clients * wide),
        "clipped": (0, clients * limit), "excess": (0, clients * wide), "capped": (0, clients),
        FINER + "delta": (-clients * MOST_FINER, clients * MOST_FINER),
        FINER + "control": (-clients * MOST_FINER, clients * MOST_FINER),
    }  # fmt: skip
    sound, at = np.zeros(len(spec), np.int64), 0
    places = {}
    for segment in spec.segments:
        places[segment.name], at = (at, segment), at + segment.length
    sound[places["weight"][0]] = clients
    spec.check(sound, clients)
    for name, (least, most) in edges.items():
        start, segment = places[name]
        for number, taken in ((least, True), (most, True), (least - 1, False), (most + 1, False)):
            total = sound.copy()
            total[start] = number  # the lowest digit, where there are several
            if taken:
                spec.check(total, clients)
                continue
            with pytest.raises(ProtocolError) as refused:
                spec.check(total, clients)
            text = f"lane {name!r} holds {number}, of 4 honest clients it is {least} to {most}"
            assert str(refused.value) == text


@pytest.mark.parametrize("bits", [2, 3, 5, 8, 15])
@pytest.mark.parametrize("number", [0, 1, -1, 77, -1234, 32767, -32767, 99999])
def test_a_number_in_several_lanes_is_read_again_alone_and_in_sums(bits, number):
    codec = FixedPoint(bits, 1.0, 10)
    segment = number_beside("some", "count", 32767.0, codec)
    assert segment.codec.bits == 16
    assert segment.digit_bits == (bits - 1 if bits < 16 else 0)
    assert segment.length == -(-15 // (bits - 1))
    lanes = np.zeros((2, segment.length), np.int64)
    segment.write(np.array([number, 5]), lanes)
    held = min(number, 32767)
    assert np.abs(lanes).max() < 2 ** (bits - 1)
    assert (segment.read(lanes[0]), segment.read(lanes[1]), segment.read(lanes.sum(0))) == (held, 5, held + 5)
    alone = np.zeros(segment.length, np.int64)
    segment.write(number, alone)
    assert alone.tolist() == lanes[0].tolist()
    assert segment.range(lanes[0], (0, 0)) == (held, held)


def test_a_layout_in_a_plan_is_its_rows():
    """Two digits of a number take two lanes of 5 bits, and a count of one takes one."""
    assert layout(5, auto=True).to_dict() == {
        "segments": [
            ("delta", 3, "vector", 1.0), ("control", 2, "vector", 0.5), ("weight", 1, "count", 15.0),
            ("loss", 4, "loss", 64.0), ("clipped", 1, "count", 15.0), ("excess", 4, "count", 32767.0),
            ("capped", 1, "count", 1.0), ("finer delta", 1, "finer", 7.0), ("finer control", 1, "finer", 7.0),
        ],
        "max_weight": 8,
    }  # fmt: skip
    assert [segment.length for segment in layout(2).segments] == [3, 2, 4, 15, 3, 15, 1]


def test_the_range_of_a_vector_is_of_all_its_lanes():
    segment = Segment("delta", 3, FixedPoint(8, 1.0, 2))
    assert segment.range(np.array([4, -7, 2]), (-9, 9)) == (-7, 4)
    assert segment.range(np.array([], np.int64), (-9, 9)) == (9, -9)
    assert Segment("delta", 1, FixedPoint(8, 1.0, 2)).range(np.array([4]), (0, 0)) == (4, 4)
    lanes = np.zeros(2, np.int64)
    segment.write(200, lanes)  # a count of all: the codec's limit for more
    assert lanes.tolist() == [127, 127]


@pytest.mark.parametrize(("kind", "bound", "bits"), [
    ("vector", 0.5, 8), ("loss", 64.0, 16), ("count", 1.0, 8), ("count", 127.0, 8), ("count", 128.0, 9),
    ("count", 255.0, 9), ("finer", 7.0, 8),
])  # fmt: skip
def test_numbers_beside_the_updates_have_bits_of_their_own(kind, bound, bits):
    found = codec_of(kind, bound, FixedPoint(8, 1.0, 10, rounding="stochastic"))
    assert (found.bits, found.bound) == (bits, bound)
    assert (found.overflow, found.rounding) == (("refuse", "stochastic") if kind == "vector" else ("clip", "nearest"))


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_each_row_of_values_asks_for_a_bound_of_its_own(rounding):
    codec = FixedPoint(4, 1.0, 10, "clip", rounding)
    for seed in range(6):
        values = np.random.default_rng(seed).standard_t(2, 200) * 2.0 ** (seed - 3)
        rows = np.stack([values, np.zeros(200), values * 1e-9, values * 1e9])
        assert finer(rows, codec).tolist() == [finer(values, codec), 0, MOST_FINER, -MOST_FINER]


@pytest.mark.parametrize(("share", "parameters", "sent"), [
    (1.0, 50, 50), (0.1, 50, 5), (0.1, 5, 2), (0.001, 1, 1), (0.5, 2, 2), (0.5, 3, 2), (0.5, 7, 4), (0.999, 1000, 999),
])  # fmt: skip
def test_a_share_of_the_weights_is_sent(share, parameters, sent):
    compression = Compression(share=share)
    assert compression.sent_of(parameters) == sent
    places = compression.sent(3, 1, parameters)
    if share == 1:
        assert places is None
    else:
        assert len(set(places.tolist())) == sent
        assert places.tolist() == sorted(places)
    assert parameters <= compression.most_parameters(sent) or sent == 2
    assert compression.whole == (share < 1)
    assert Compression(feedback=True).whole
    assert not Compression(auto=True).whole
    assert compression.lanes({"delta": Output(parameters), "one": Output(parameters + 1)}) == {
        "delta": sent, "one": parameters + 1
    }  # fmt: skip


def test_outputs_of_weights_are_as_long_as_the_delta():
    assert of_weights({"delta": Output(5), "control": Output(5), "one": Output(1)}) == {"delta", "control"}
    assert of_weights({"counts": Output(5), "none": Output(0)}) == {"none"}


def test_the_weights_that_may_be_are_no_more_than_a_share_leaves_room_for():
    assert Compression(share=0.1).most_parameters(5) == 51
    assert Compression().most_parameters(5) == 5


@pytest.mark.parametrize("said", [[], [1.0], [1.0, 2.5], [1.0, -1.0], [1.0, 961.0], [1.0, np.nan], [1.0, 2.0, 3.0]])
def test_a_request_says_one_whole_number_of_bits_an_output(said):
    with pytest.raises(ProtocolError, match="2 whole numbers are needed"):
        fraction_bits({"fraction_bits": np.array(said, np.float32)}, 2)
    with pytest.raises(ProtocolError, match="2 whole numbers are needed"):
        fraction_bits({}, 2)


def test_bounds_from_0_to_960_bits_are_taken():
    assert fraction_bits({"fraction_bits": np.array([0, 960], np.float32)}, 2) == [0, 960]
    moved = layout(12, auto=True).in_round({"fraction_bits": np.array([3, 4], np.float32)})
    assert [segment.codec.bound for segment in moved.vectors] == [2047 / 8, 2047 / 16]
    assert moved.beside == layout(12, auto=True).beside


@pytest.mark.parametrize(("most", "bits"), [(1, 2), (2, 3), (3, 3), (4, 4), (255, 9), (256, 10)])
def test_counts_take_the_narrowest_lanes(most, bits):
    codec = counting_codec({"a": Counts(3, 1), "b": Counts(2, most)}, 7)
    assert (codec.bits, codec.addends, codec.bound) == (bits, 7, 2.0 ** (bits - 1) - 1)
    spec = CountLayout.of_counts({"a": Counts(3, 1), "b": Counts(2, most)}, codec)
    entry = LocalUpdate({"a": np.array([0, 1, 1]), "b": np.array([0, most])}, 1, 0.0)
    assert spec.encode(entry).tolist() == [0, 1, 1, 0, most]
    sums = spec.decode(np.array([0, 7, 7, 0, 7 * most]), 7).sums
    assert {name: values.tolist() for name, values in sums.items()} == {"a": [0, 7, 7], "b": [0, 7 * most]}
