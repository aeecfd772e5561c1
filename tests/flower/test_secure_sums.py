"""Secure sums under a Flower strategy: it sees the weighted mean and nothing else, as plain FedAvg would compute it."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import fixedclipping_mod
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg

from aggregator.flower import sums
from aggregator.session import Session
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, CodecError, FedlearnError, ShapeError
from fedlearn.secure import Masks, Paillier, Threshold
from scenarios.flower import SecureSums, run_direct, secure_mod

NODES = 4
CODEC = FixedPoint(bits=24, bound=4.0, addends=8)
BOUNDS = {"*.running_*": 50.0, "bn.batches": 100}
NO_EVALUATION = {"fraction_evaluate": 0.0}


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("flwr").setLevel(logging.ERROR)


def paillier(**changes) -> Paillier:
    return Paillier(**{"key_bits": 512, "codec": CODEC, "min_cohort": 3, "insecure_test_key": True} | changes)


def beginning() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    return {
        "w": draw.uniform(-1, 1, (8, 5)).astype(np.float32),
        "bn.running_var": np.ones(3),
        "bn.batches": np.array([5]),
    }


def examples(node: int) -> int:
    return 7 + 13 * node


def trained(node: int, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What this node makes of the arrays that it is sent: float32, float64, and a counter."""
    draw = np.random.default_rng(node)
    changes = {
        "w": draw.uniform(-0.5, 0.5, (8, 5)).astype(np.float32), "bn.running_var": 30 * draw.random(3), "bn.batches": 9,
    }  # fmt: skip
    return {name: value + changes[name] for name, value in arrays.items()}


def reply_to(message, arrays: dict[str, np.ndarray] | None, **metrics) -> Message:
    records = RecordDict({"metrics": MetricRecord(metrics)})
    if arrays is not None:
        records["arrays"] = ArrayRecord({name: Array(np.asarray(value)) for name, value in arrays.items()})
    return Message(records, reply_to=message)


def client(*others, change=lambda node, arrays: arrays, metrics=lambda node: {}, mods=(secure_mod,)) -> ClientApp:
    app = ClientApp()

    @app.train(mods=[*mods, *others])
    def train(message, context):
        node = int(context.node_config["partition-id"])
        got = {name: array.numpy() for name, array in message.content["arrays"].items()}
        about = {"num-examples": examples(node), "train_loss": 1.0 + node} | metrics(node)
        return reply_to(message, change(node, trained(node, got)), **about)

    @app.evaluate(mods=list(mods))
    def evaluate(message, context):
        node = int(context.node_config["partition-id"])
        return reply_to(message, None, **{"num-examples": examples(node), "accuracy": node / 10})

    return app


def run(strategy, app, rounds=1, first=None, nodes=NODES, between=lambda grid: grid, **options):
    """The strategy's result, and of the ServerApp whatever it raises. between: stands between strategy and grid."""
    found = []
    server = ServerApp()

    @server.main()
    def main(grid, context):
        start = ArrayRecord({name: Array(value) for name, value in (first or beginning()).items()})
        found.append(strategy.start(between(grid), start, num_rounds=rounds))

    run_direct(server, app, nodes, **options)
    return found[0]


def secure(strategy=None, protection=None, **changes) -> SecureSums:
    options = {"metrics": {"train_loss": 64.0}, "bounds": BOUNDS, "max_weight": 100} | changes
    return SecureSums(strategy or FedAvg(**NO_EVALUATION), protection or paillier(), **options)


def exact_mean(arrays: dict[str, np.ndarray], nodes=range(NODES)) -> dict[str, np.ndarray]:
    weights = np.array([examples(node) for node in nodes], float)
    each = [trained(node, arrays) for node in nodes]
    return {
        name: sum(w * t[name].astype(np.float64) for w, t in zip(weights, each, strict=True)) / weights.sum()
        for name in arrays
    }


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_arrays_counts_and_metrics_are_the_means_of_fedavg_within_the_codecs_bound(workers):
    strategy = secure()
    result = run(strategy, client(), rounds=2, workers=workers)
    arrays = beginning()
    for opened in strategy.opened:
        expected = exact_mean(arrays)
        arrays = {name: expected[name].astype(value.dtype) for name, value in arrays.items()}
        assert (opened.kind, opened.addends, opened.lost, opened.weight) == ("train", NODES, 0, 106)
        assert opened.error_bound < 1e-4
        assert opened.bytes_openers > opened.bytes_up > 4 * opened.bytes_down > 0
        first = strategy.opened[0]
        assert opened.bytes_up == pytest.approx(first.bytes_up, rel=0.1)
        assert opened.bytes_down == pytest.approx(first.bytes_down, rel=0.1)
        assert opened.bytes_openers == pytest.approx(first.bytes_openers, rel=0.1)
    got = {name: array.numpy() for name, array in result.arrays.items()}
    fine = CODEC.error_bound(NODES, 106, 100)  # of arrays that have the codec's own bound
    np.testing.assert_allclose(got["w"], expected["w"], atol=2 * fine + 1e-7, rtol=0)
    coarse = 2 * strategy.opened[0].error_bound
    np.testing.assert_allclose(got["bn.running_var"], expected["bn.running_var"], atol=coarse, rtol=0)
    assert got["bn.batches"] == 5 + 9 + 9
    assert {name: value.dtype for name, value in got.items()} == {n: v.dtype for n, v in beginning().items()}
    losses = sum(examples(node) * (1.0 + node) for node in range(NODES)) / 106
    assert result.train_metrics_clientapp[1]["train_loss"] == pytest.approx(losses, abs=1e-4)


def test_trustees_open_the_very_same_sum_as_a_key_holder():
    threshold = Threshold(2, 3, key_bits=512, codec=CODEC, min_cohort=3, insecure_test_key=True)
    by_trustees, by_holder = (run(secure(protection=each), client()).arrays for each in (threshold, paillier()))
    for name, array in by_holder.items():
        np.testing.assert_array_equal(by_trustees[name].numpy(), array.numpy())


def test_evaluation_is_a_sum_too():
    strategy = secure(FedAvg(), evaluate_metrics={"accuracy": 1.0})
    result = run(strategy, client())
    expected = sum(examples(node) * node / 10 for node in range(NODES)) / 106
    assert dict(result.evaluate_metrics_clientapp[1]) == {"accuracy": pytest.approx(expected, abs=1e-5)}
    assert [opened.kind for opened in strategy.opened] == ["train", "evaluate"]


def test_clipping_at_nodes_by_flowers_own_mod_goes_before_encryption():
    def clipped(strategy):
        return DifferentialPrivacyClientSideFixedClipping(strategy, 0.0, 1.5, NODES)

    first = {"w": beginning()["w"]}  # Flower's mod clips floats only
    plain = run(clipped(FedAvg(**NO_EVALUATION)), client(fixedclipping_mod, mods=()), first=first)
    hidden = run(secure(clipped(FedAvg(**NO_EVALUATION)), bounds={}), client(fixedclipping_mod), first=first)
    for name, array in plain.arrays.items():
        np.testing.assert_allclose(hidden.arrays[name].numpy(), array.numpy(), atol=1e-5)


def test_a_node_that_fails_is_left_out_and_its_words_stay_with_it(caplog):
    def fail_at_two(node, arrays):
        if node == 2:
            raise ValueError("Ms Smith has no pulse")
        return arrays

    told = []

    class Telling(FedAvg):
        def aggregate_train(self, server_round, replies):
            told.extend(replies)
            return super().aggregate_train(server_round, told)

    strategy = secure(Telling(**NO_EVALUATION))
    result = run(strategy, client(change=fail_at_two))
    assert (strategy.opened[0].addends, strategy.opened[0].lost, len(told)) == (3, 1, 1)
    np.testing.assert_allclose(result.arrays["w"].numpy(), exact_mean(beginning(), [0, 1, 3])["w"], atol=1e-5)
    said = [record for record in caplog.records if "Ms Smith" in record.getMessage()]
    assert said
    assert all(record.name.startswith("clients.") for record in said)


def test_a_round_of_too_few_is_void_and_the_next_goes_on(caplog):
    rounds = {node: 0 for node in range(NODES)}

    def fail_at_first(node, arrays):
        rounds[node] += 1
        if rounds[node] == 1 and node in (1, 2):
            raise RuntimeError("not yet")
        return arrays

    strategy = secure()
    run(strategy, client(change=fail_at_first), rounds=2)
    assert [(opened.round, opened.addends) for opened in strategy.opened] == [(2, NODES)]
    assert "train, round 1 is void, the model stays as it was: 2 clients answered, 3 are needed" in caplog.text


REFUSED_AT_NODES = [
    ({"change": lambda node, a: a | {"w": a["w"][:4]}}, {}, "array 'w' came back as float32"),
    ({"change": lambda node, a: {"w": a["w"]}}, {}, "its reply has other arrays than it was sent"),
    ({"change": lambda node, a: a | {"w": 99 * a["w"]}}, {}, "array 'w' changed by"),
    ({"change": lambda node, a: a | {"w": np.full((8, 5), np.nan)}}, {}, "array 'w' came back with nan"),
    ({}, {"bounds": {"*.running_*": 50.0}}, "array 'bn.batches' changed by 9"),
    ({"metrics": lambda node: {"secret": 1.0}}, {}, "metric 'secret' is in its reply or in SecureSums"),
    ({"metrics": lambda node: {"train_loss": 99.0}}, {}, "metric 'train_loss' is beyond its bound 64"),
    ({"metrics": lambda node: {"num-examples": 101}}, {}, "num-examples is 101, SecureSums allows 1 to 100"),
    ({"metrics": lambda node: {"num-examples": 0}}, {}, "num-examples is 0, SecureSums allows 1 to 100"),
    ({"metrics": lambda node: {"train_loss": [1.0]}}, {}, "metric 'train_loss' is a list"),
]


@pytest.mark.parametrize(("app", "options", "said"), REFUSED_AT_NODES, ids=[row[2][:30] for row in REFUSED_AT_NODES])
def test_what_is_not_as_agreed_is_refused_where_it_is_and_said_there(app, options, said):
    """Tried on the two halves themselves: a node refuses alike under every protection."""
    from fedlearn.flower.reported import Reported

    sent = RecordDict({"arrays": ArrayRecord({n: Array(v) for n, v in beginning().items()})})
    bounds = options.get("bounds", BOUNDS)
    reported = Reported.of(sent["arrays"], bounds, {"train_loss": 64.0}, "num-examples", 100)
    change, metrics = app.get("change", lambda node, a: a), app.get("metrics", lambda node: {})
    arrays = change(3, trained(3, beginning()))
    records = RecordDict(
        {
            "a": ArrayRecord({name: Array(np.asarray(value)) for name, value in arrays.items()}),
            "m": MetricRecord({"num-examples": 90, "train_loss": 2.0} | metrics(3)),
        }
    )
    with pytest.raises(BadInput, match=said):  # noqa: PT012
        update = reported.update(sent, records)
        reported.check_bounds(update, sent, records, CODEC)


def test_where_all_nodes_refuse_the_run_ends_in_one_line():
    with pytest.raises(BadInput, match=r"0 clients answered, 3 are needed; lost 4: .* refused its task"):
        run(secure(), client(metrics=lambda node: {"secret": 1.0}))


def test_a_strategy_whose_arrays_change_their_shape_is_told_so_before_nodes_work():
    class Grows(FedAvg):
        def aggregate_train(self, server_round, replies):
            arrays, metrics = super().aggregate_train(server_round, replies)
            return ArrayRecord(dict(arrays) | {"w": Array(np.zeros((9, 5), np.float32))}), metrics

    strategy = secure(Grows(**NO_EVALUATION))
    with pytest.raises(
        ShapeError, match=r"the strategy sends array 'w' as \(9, 5\), in the first round it was \(8, 5\)"
    ):
        run(strategy, client(), rounds=2)
    assert [opened.round for opened in strategy.opened] == [1]


def test_an_app_without_the_mod_is_told_to_have_it():
    with pytest.raises(
        BadInput, match=r"none of 4 nodes enrolled for 'train' .*@app.train\(mods=\[secure_mod, ...\]\)"
    ):
        run(secure(), client(mods=()))


def test_a_server_without_the_wrapper_gets_an_error_and_no_arrays():
    with pytest.raises(
        FedlearnError, match=r"answers under secure sums only .*: wrap the server's strategy in SecureSums"
    ):
        run(FedAvg(**NO_EVALUATION), client())


def test_a_node_that_trusts_another_key_takes_no_part(caplog):
    def pin(node):
        return {"fedlearn-fingerprint": "ab" * 32} if node == 1 else {}

    strategy = secure()
    run(strategy, client(), node_config=pin)
    assert (strategy.opened[0].addends, strategy.opened[0].lost) == (3, 1)
    assert "this node takes no part: the plan's key is" in caplog.text
    assert "client-1: refused its task" not in strategy.opened[0].kind


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"fedlearn-protections": "threshold"},
            "the plan names protection paillier, these clients take part in threshold",
        ),
        ({"fedlearn-least-cohort": 4}, "the plan says min_cohort=3, these clients demand 4 or more"),
        ({"fedlearn-pin": "x"}, "--node-config has fedlearn-pin: choose fedlearn-fingerprint"),
    ],
)
def test_a_plan_that_nodes_do_not_follow_ends_the_run(config, said, caplog):
    with pytest.raises(BadInput, match=r"refused its task|none of 4 nodes enrolled"):
        run(secure(), client(), node_config=lambda node: config)
    assert said in caplog.text


def test_fewer_nodes_than_a_sum_needs_are_refused():
    with pytest.raises(BadInput, match="a cohort of 4 clients is under the minimum of 5"):
        run(secure(protection=paillier(min_cohort=5)), client())


def test_more_nodes_than_the_codec_is_made_for_are_refused():
    with pytest.raises(CodecError, match="4 nodes are asked, and the codec is made for 3: set addends=4"):
        run(secure(protection=paillier(codec=FixedPoint(24, 4.0, 3))), client())


def test_a_plan_is_for_all_nodes_that_are_there_or_for_as_many_as_the_codec_adds_up(monkeypatch):
    said = []
    monkeypatch.setattr(sums, "Session", lambda *given, **to: said.append(to["sampled"]) or Session(*given, **to))
    for addends in (8, 3):
        three = FedAvg(fraction_train=0.75, **NO_EVALUATION)
        run(secure(three, Masks(codec=FixedPoint(24, 4.0, addends), min_cohort=3, corrupt=0.0)), client())
    assert said == [NODES, 3]


def test_masks_need_no_opener_and_give_the_very_same_sum():
    masks = Masks(codec=CODEC, min_cohort=3, corrupt=0.0)
    strategy = secure(protection=masks)
    masked = run(strategy, client()).arrays
    for name, array in run(secure(), client()).arrays.items():
        np.testing.assert_array_equal(masked[name].numpy(), array.numpy())
    assert set(strategy.opened[0].seconds) == {"keys", "shares", "update", "check", "unmask", "open"}


def test_the_mod_twice_is_refused_at_the_node(caplog):
    with pytest.raises(BadInput, match="refused its task"):
        run(secure(protection=Masks(codec=CODEC, min_cohort=3, corrupt=0.0)), client(mods=(secure_mod, secure_mod)))
    assert "secure_mod stands twice in the ClientApp's mods" in caplog.text


def test_a_strategy_that_waits_for_nodes_that_never_come_is_told_so():
    waiting = FedAvg(fraction_evaluate=0.0, min_available_nodes=NODES + 1)
    with pytest.raises(
        BadInput, match=f"waits for more nodes than the {NODES} that are there, for 0 s now: start more"
    ):
        run(secure(waiting, deadline=0.2), client())


def test_noise_for_more_nodes_than_are_in_a_sum_is_said_to_be_too_little(caplog):
    noisy = DifferentialPrivacyClientSideFixedClipping(FedAvg(**NO_EVALUATION), 0.01, 1.5, NODES + 2)
    masks = Masks(codec=CODEC, min_cohort=3, corrupt=0.0)
    run(secure(noisy, masks, bounds={}), client(fixedclipping_mod), first={"w": beginning()["w"]})
    assert f"round 1: {NODES} nodes are in the sum, and its noise is for num_sampled_clients={NODES + 2}" in caplog.text
