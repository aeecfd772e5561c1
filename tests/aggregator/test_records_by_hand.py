"""What a run keeps and says of its rounds, each figure worked out by hand."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from struct import pack
from zlib import crc32

import numpy as np
import pytest

from aggregator import History, RoundRecord
from aggregator.compressing import Compressing
from aggregator.exam import Exam
from aggregator.faults import Fates
from aggregator.groups import Group, Groups, RoundTask
from aggregator.history import Best, checked_metrics
from aggregator.journal import Journal, OpenedSum
from aggregator.losses import ClientsLog, loss_of, reasons, too_few
from aggregator.robust import as_rule
from aggregator.robust.base import Beside
from aggregator.robust.defence import KEPT, Defence, groups_in
from aggregator.schedules import applied, factor_of
from aggregator.showing import flat_row
from aggregator.surveying import Survey
from aggregator.trackers import CsvTracker, ProgressTracker
from aggregator.watching import Phase
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, CodecError, FedlearnError, RoundVoid
from fedlearn.privacy.asked import Privacy
from fedlearn.protocol import Loss, Lost, Step
from fedlearn.secure import Masks, Plain
from fedlearn.secure.aggregate import Aggregate
from fedlearn.secure.compression import Compression
from fedlearn.strategies import FedAvg
from fedlearn.strategies.base import Output
from fedlearn.strategies.scaffold import Scaffold
from tests.toys import toy_clients, toy_codec, toy_model

ROWS = [
    RoundRecord(1, 3, 1, metrics={"f1": 0.5}, evaluation_loss=0.7, train_loss=0.9, bytes_up=10, bytes_down=5),
    RoundRecord(2, void="too few", bytes_up=1, bytes_down=2),
    RoundRecord(3, 2, evaluated=False, train_loss=0.8, bytes_up=100, bytes_down=50),
]


def test_figures_of_a_history():
    history = History(ROWS, "ab", 2.5, Best(1, "f1", 0.5), "enough")
    assert (history.bytes_up, history.bytes_down, history.counted) == (111, 57, 2)
    assert history.metrics == {}  # of the void round, the last that was evaluated
    assert History([ROWS[0], ROWS[2]]).metrics == {"f1": 0.5, "loss": 0.7}
    assert repr(History(ROWS[:1])) == "<History of 1 round, loss 0.7, f1 0.5>"
    assert repr(History([ROWS[0], replace(ROWS[1], evaluated=False)])) == (
        "<History of 2 rounds (1 void), loss 0.7, f1 0.5>"
    )
    summary = history.summary()
    assert (summary["state"], summary["rounds"], summary["void"], summary["stopped"]) == ("done", 3, 1, "enough")
    assert summary["best"] == {"round": 1, "metric": "f1", "value": 0.5}
    assert "privacy" not in summary
    bare = History([ROWS[1], RoundRecord(2, void="too few"), RoundRecord(3, void="nobody")]).summary()
    assert (bare["state"], bare["reason"]) == (
        "failed",
        "none of 3 rounds counted, so nothing was learned: 2 because too few; 1 because nobody",
    )
    assert not {"best", "stopped", "privacy"} & bare.keys()
    many = History([RoundRecord(i, void=why) for i, why in enumerate("aabbccd", 1)]).why_nothing_counted()
    assert many == "none of 7 rounds counted, so nothing was learned: 2 because a; 2 because b; 2 because c"
    assert History().metrics == {}


def test_the_line_of_a_round():
    assert ROWS[0].headline() == "loss 0.7000, f1 0.5000"
    assert ROWS[1].headline() == "void: too few"
    assert ROWS[2].headline() == "not evaluated"
    assert RoundRecord(1, train_loss=0.25).headline() == "loss 0.2500"
    assert [record.loss for record in ROWS] == [0.7, None, None]
    assert RoundRecord(1, train_loss=0.25).loss == 0.25


FULL = RoundRecord(
    4, 3, 1, 2, metrics={"f1": 0.5}, train_loss=0.9, error_bound=1e-3, bound={"delta": 4.0}, bytes_openers=7,
    seconds={"update": 0.5}, lost={2: "late"}, absent={"trustee 1": "no answer"}, by_client={0: {"loss": 1.0}},
    confusion=[[1.0, 2.0]], robust={"groups": [[0], [1]]},
)  # fmt: skip


def test_a_row_is_read_again_and_what_is_none_is_refused():
    row = FULL.to_dict()
    assert RoundRecord.from_dict(row) == FULL
    assert not {"by_client", "bound", "confusion"} & RoundRecord(1).to_dict().keys()
    assert math.isnan(RoundRecord.from_dict({"round": 1, "loss": None, "f1": None}).metrics["f1"])
    assert RoundRecord.from_dict({"round": 1, "epsilon": 2.0}).epsilon_aggregator == math.inf
    assert RoundRecord.from_dict({"round": 1, "epsilon": 2.0, "epsilon_aggregator": 3}).epsilon_aggregator == 3
    for change in (
        {"round": True}, {"round": 1.5}, {"round": "1"}, {"evaluated": 1}, {"train_loss": True}, {"clients_ok": None},
        {"f1": "good"}, {"lost": []}, {"absent": {"a": 1}}, {"seconds": {"update": "x"}}, {"bound": {"delta": "x"}},
        {"confusion": [1]}, {"confusion": [["x"]]}, {"by_client": {"0": {"loss": "x"}}}, {"void": 5},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            RoundRecord.from_dict(row | change)
    for odd in (None, [], {"loss": 0.5}):
        with pytest.raises(ValueError, match=r"^no row of a round$"):
            RoundRecord.from_dict(odd)
    flat = flat_row(FULL)
    assert (flat["seconds_update"], flat["lost"], flat["absent"], flat["groups"], flat["f1"]) == (0.5, 1, 1, 2, 0.5)
    assert not {"seconds", "robust", "by_client", "confusion"} & flat.keys()


def test_metrics_are_numbers_by_name():
    assert checked_metrics({"loss": 1, "f1": np.float32(0.5)}) == {"loss": 1.0, "f1": 0.5}
    for found, text in (
        (None, "evaluate returned None: return a dictionary"),
        ({1: 0.5}, "evaluate returned a metric named 1: give it a name that is text"),
        ({"round": 1}, "evaluate returned a metric 'round', which is a field of a round's record: rename it"),
        ({"f1": "good"}, "evaluate returned f1='good': a metric is one number"),
        ({"f1": None}, "evaluate returned f1=None: a metric is one number"),
    ):
        with pytest.raises(BadInput) as refused:
            checked_metrics(found)
        assert str(refused.value).startswith(text)


def test_why_clients_were_lost_in_one_line():
    assert reasons({}) == ""
    lost = {3: Lost(3, "late"), 1: Lost(1, "late"), 2: Lost(2, "a"), 7: Lost(7, "b"), 9: Lost(9, "c")}
    assert reasons(lost) == "; lost 5: client-1: late (1 more alike); client-2: a; client-7: b"
    assert reasons({1: Lost(1, "late")}) == "; lost 1: client-1: late"


def test_a_round_that_nobody_answers_ends_the_run_only_where_all_refuse():
    refused, late = Lost(0, "no", refused=True), Lost(1, "late")
    for lost, kind in (({0: refused}, BadInput), ({0: refused, 1: late}, RoundVoid), ({1: late}, RoundVoid)):
        assert type(too_few(0, 2, lost, RoundTask(1, (0, 1), None), None)) is kind
    assert type(too_few(1, 2, {0: refused}, RoundTask(1, (0, 1), None), None)) is RoundVoid


def test_a_round_that_all_fail_alike_ends_the_run_with_what_they_failed_at():
    def ended(*lost: Lost, silent=(), log=None) -> Exception:
        fates = Fates({client: Lost(client, "dropped out") for client in silent})
        return too_few(0, 2, {loss.client: loss for loss in lost}, RoundTask(4, (0, 1), None, fates), log)

    one, two = Lost(0, "KeyError: 'a'", trace="line 1"), Lost(1, "KeyError: 'a'", trace="")
    assert str(ended(one)) == "every client of round 4 failed alike: KeyError: 'a'"
    assert str(ended(two, one)) == "every client of round 4 failed alike: KeyError: 'a'"
    assert str(ended(one).__cause__) == "\nline 1"
    untold = ended(two, log=ClientsLog(None))
    assert str(untold) == "every client of round 4 failed; only the processes that they live in have said why"
    assert untold.__cause__ is None
    assert type(ended(one, Lost(1, "dropped out"), silent=[1])) is FedlearnError
    for void in ([one, Lost(1, "dropped out")], [one, Lost(1, "KeyError: 'b'", trace="")], [Lost(0, "late")]):
        assert type(ended(*void)) is RoundVoid


def test_what_a_code_tells_of_a_loss():
    assert loss_of(1, Loss(1)) == Lost(1, "refused its task", refused=True)
    assert loss_of(1, Loss(1)).trace is None
    assert loss_of(1, Loss(2)) == Lost(1, "failed at its task")
    assert loss_of(1, Loss(2)).trace == ""
    assert loss_of(1, Loss(3)) == Lost(1, "came too late")


def test_the_log_of_clients_is_named_once(caplog, tmp_path):
    log = ClientsLog(tmp_path)
    log.name_once(1, [Lost(1, "late")])
    assert not caplog.records
    log.name_once(2, [Lost(1, "late"), Lost(2, "failed at its task")])
    log.name_once(3, [Lost(2, "failed at its task")])
    assert [record.getMessage() for record in caplog.records] == [f"clients were lost in round 2: {log.where}"]
    assert str(tmp_path) in log.where
    assert ClientsLog(None).where == "only the processes that they live in have said why"


def exam(watch=None, stop_after=None, every=1, evaluate=lambda model: {"loss": 1.0, "f1": 0.5}, of_clients=False):
    return Exam(evaluate, every, watch, stop_after, of_clients)


@pytest.mark.parametrize(("watch", "values", "best", "waited"), [
    ("f1", [0.5, 0.7, 0.7, 0.6], 2, 2), ("loss", [0.5, 0.7, 0.4, 0.4], 3, 1), ("f1:min", [0.5, 0.7, 0.4], 3, 0),
    ("loss:max", [0.5, 0.7, 0.4], 2, 1), ("f1", [math.nan, 0.1, math.nan], 2, 1), ("loss_p90", [3, 2, 4], 2, 1),
])  # fmt: skip
def test_the_best_round_and_how_long_ago_it_was(watch, values, best, waited):
    seen = exam(watch, stop_after=2)
    name = watch.partition(":")[0]
    records = [
        RoundRecord(i, evaluation_loss=v) if name == "loss" else RoundRecord(i, metrics={name: v})
        for i, v in enumerate(values, 1)
    ]
    noted = [seen.note(record) for record in records]
    assert (seen.best.round, seen.waited, seen.best.metric) == (best, waited, name)
    assert [i for i, found in enumerate(noted, 1) if found][-1] == best
    assert not seen.note(RoundRecord(9, evaluated=False))
    assert seen.waited == waited
    assert seen.over == (waited >= 2)
    assert seen.verdict == (f"no better {name} in {waited} evaluations" if waited >= 2 else "")
    again = exam(watch)
    again.recall(records)
    assert (again.best, again.waited) == (seen.best, seen.waited)
    assert not again.over


def test_the_turns_of_an_evaluation():
    asked = []
    for number, last, evaluated in ((1, False, False), (2, False, True), (3, True, True)):
        record = RoundRecord(number)
        exam(every=2, of_clients=True).take(record, toy_model(), last, lambda: asked.append(1))
        assert record.evaluated is evaluated
        assert record.metrics == ({"f1": 0.5} if evaluated else {})
        assert record.evaluation_loss == (1.0 if evaluated else None)
    assert len(asked) == 2
    void = RoundRecord(1, void="nobody")
    exam(of_clients=True).take(void, toy_model(), True, lambda: asked.append(1))
    assert len(asked) == 2
    nothing = RoundRecord(1)
    exam(evaluate=None).take(nothing, toy_model(), False, lambda: asked.append(1))
    assert (nothing.evaluated, nothing.seconds) == (True, {})
    survey = Survey(toy_clients(), classes=2)
    for every, rounds, surveys in ((1, 5, 5), (2, 5, 3), (2, 4, 2), (9, 4, 1)):
        assert exam(every=every, of_clients=survey).surveys(rounds) == surveys
    assert exam().surveys(5) == 0


def test_an_exam_that_cannot_be():
    for given, text in (
        ({"evaluate": 5}, "evaluate is 5; give a function"),
        ({"of_clients": 5}, "evaluate_clients is 5; give Survey"),
        ({"every": 0}, "evaluate_every is 0"),
        ({"stop_after": 0}, "stop_after is 0"),
        ({"every": 2, "evaluate": None}, "evaluate_every is 2, and nothing is evaluated"),
        ({"watch": ""}, "watch is ''"),
        ({"watch": "f1:up"}, "watch is 'f1:up'"),
        ({"watch": 5}, "watch is 5"),
    ):
        with pytest.raises(BadInput, match=f"^{text}"):
            exam(**given)
    assert exam(stop_after=1).metric == "loss"
    assert exam().metric == ""
    exam("f1").check(toy_model())
    exam("loss", evaluate=None, of_clients=True).check(toy_model())
    for name in ("recall", "client_accuracy"):
        with pytest.raises(BadInput, match=f"'{name}', is not measured: choose loss, f1$"):
            exam(name).check(toy_model())


def test_shares_of_a_step():
    assert [factor_of(None, 4)(round) for round in (1, 4)] == [1.0, 1.0]
    assert [factor_of("step:2,gamma=0.5", 4)(round) for round in (1, 2, 3, 5)] == [1, 1, 0.5, 0.25]
    assert factor_of("cosine", 4)(3) == pytest.approx(0.5)
    assert factor_of(lambda round: 1 / round, 4)(2) == 0.5
    for bad in (lambda round: -1, lambda round: math.nan):
        with pytest.raises(BadInput, match="the server's learning rate in round 1"):
            factor_of(bad, 4)(1)
    before, after = np.full(2, 4.0, np.float32), np.array([2.0, 8.0], np.float32)
    assert applied(before, after, 1) is after
    assert applied(before, after, 0.25).tolist() == [3.5, 5.0]


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


def test_groups_go_on_as_long_as_enough_are_left():
    parts = [Group(i, frozenset(range(3 * i, 3 * i + 3)), None) for i in range(3)]
    groups = Groups(parts, 2)
    assert [(group.number, clients) for group, clients in groups.among([8, 0, 4, 1])] == [
        (0, [0, 1]), (1, [4]), (2, [8])
    ]  # fmt: skip
    assert groups.of(5) is parts[1]
    groups.leave_out(parts[1], RoundVoid("too few"))
    assert parts[1].left_out == "group 1 was left out: too few"
    assert groups.going_on([8, 4, 0]) == [8, 0]
    assert [group.number for group, _ in groups.among([8, 4, 0])] == [0, 2]
    with pytest.raises(RoundVoid):
        groups.leave_out(parts[0], RoundVoid("too few"))


def test_an_uncut_cohort_is_one_group_that_ends_with_it():
    whole = Group(0, frozenset(range(3)), None)
    groups = Groups([whole], None)
    assert groups.among([2, 1]) == [(whole, [2, 1])]
    assert groups.going_on([2, 1]) == [2, 1]
    with pytest.raises(RoundVoid, match=r"^alone$"):
        groups.leave_out(whole, RoundVoid("alone"))


def opened(*means, **more) -> list:
    aggregates = [
        Aggregate({"delta": np.array(mean, float)}, 3, weight=w, loss=loss, clipped=1, capped=2, finer={"delta": i})
        for i, (mean, w, loss) in enumerate(means)
    ]
    return [
        (OpenedSum(np.zeros(0), 3, [3 * i, 3 * i + 1], group=2 * i), replace(each, **more))
        for i, each in enumerate(aggregates)
    ]


def test_the_groups_means_become_one():
    defence = Defence(as_rule("median"), 3, 12)
    whole, choice, kept = defence.combine(
        opened(([1, 2], 10, 0.5), ([3, 3], 30, 0.1), ([100, -9], 20, 0.3)), 6, Beside()
    )
    assert whole.mean["delta"].tolist() == [3.0, 2.0]
    assert (whole.addends, whole.weight, whole.clipped, whole.capped) == (9, 60, 3, 6)
    assert whole.loss == pytest.approx((5 + 3 + 6) / 60)
    assert (whole.error_bound, whole.below, whole.finer, kept) == (math.inf, None, {"delta": 1.0}, {})
    assert (choice.rule, choice.f, choice.numbers, choice.left_out) == ("median", 1, [0, 2, 4], [1, 3, 5])
    assert choice.groups == [[0, 1], [3, 4], [6, 7]]
    assert choice.norms == pytest.approx([math.hypot(1, 2), math.hypot(3, 3), math.hypot(100, 9)])
    assert (choice.chosen, choice.scores) == (None, None)
    still = opened(([1, 2], 0, 0.5), ([3, 3], 30, 0.1), clipped=0, capped=0)
    whole, _, _ = Defence(as_rule("normclip:bound=9"), 3, 12).combine(still, 4, Beside())
    assert (whole.weight, whole.clipped, whole.capped, whole.loss) == (30, 0, 0, 0.1)
    noisy = opened(
        ([1, 2], None, None), ([3, 3], None, None), weight=None, loss=None, clipped=None, below=0.5, finer={}
    )
    whole, _, kept = Defence(as_rule("centred"), 3, 12).combine(noisy, 2, Beside())
    assert (whole.weight, whole.loss, whole.clipped, whole.capped, whole.below) == (None, None, None, None, 0.5)
    assert kept.keys() == {KEPT}
    alone, choice, _ = Defence(as_rule("normclip:bound=9"), 3, 12).combine(opened(([3, 4], 10, 0.5)), 4, Beside())
    assert (alone.mean["delta"].tolist(), alone.finer, choice.left_out) == ([3.0, 4.0], {"delta": 0.0}, [1, 2, 3])
    with pytest.raises(RoundVoid, match="does not stand f=2 of 2 vectors"):
        Defence(as_rule("trimmed:f=2"), 3, 15).combine(opened(([1, 2], 1, 0), ([1, 2], 1, 0)), 5, Beside())


@pytest.mark.parametrize(("rule", "size", "cohort", "text"), [
    ("median", 3, 5, "a cohort of 5 clients cuts into one group of 3: there is nothing to compare; "
     "sample at least 6 clients, or lower group_size"),
    ("median", 1, 65537, "a cohort of 65537 cuts into 65,537 groups, at most 65,536: cut fewer"),
    ("trimmed:f=2", 3, 14, "14 clients in groups of 3: trimmed:f=2 does not stand f=2 of 4 vectors: "
     "it takes 5 or more, or lower f to 1"),
    ("median", 3, 8, "8 clients in groups of 3: median stands no malicious group of 2: it takes 3 or more: sample at "
     "least 9 clients, lower group_size, or take another rule"),
    ("median", 1, 2, "2 clients in groups of 1: median stands no malicious group of 2: it takes 3 or more: sample at "
     "least 3 clients, or take another rule"),
])  # fmt: skip
def test_cohorts_that_cannot_be_cut(rule, size, cohort, text):
    with pytest.raises(BadInput) as refused:
        Defence(as_rule(rule), size, cohort)
    assert str(refused.value) == text


def test_cohorts_that_can_be_cut():
    assert str(Defence(as_rule("median"), 3, 9)) == "median over 3 groups of 3 clients stands f=1 malicious"
    assert str(Defence(as_rule("median"), 1, 65536)).startswith(
        "median over 65,536 groups of one client stands f=32767"
    )
    assert Defence(as_rule("trimmed:f=0"), 3, 6).f == 0
    assert [Defence(as_rule(spec), 1, 20).least for spec in ("median", "trimmed:f=2", "krum:f=1")] == [2, 5, 5]
    assert groups_in(None, 3, 30, Masks(toy_codec())) == 1
    assert groups_in(as_rule("median"), 4, 30, Masks(toy_codec())) == 7
    assert groups_in(as_rule("median"), None, 30, Masks(toy_codec())) == 10
    assert groups_in(as_rule("median"), None, 30, Plain(toy_codec())) == 30
    assert groups_in(as_rule("median"), 40, 30, Plain(toy_codec())) == 1


def test_the_journal_of_opened_sums(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.open()
    journal.asked(Step(1), b"m")
    journal.asked(Step(1), b"m")
    first = path.read_bytes()
    length, check = int.from_bytes(first[:4], "little"), int.from_bytes(first[4:8], "little")
    assert (len(first), check) == (8 + length, crc32(first[8:]))
    journal.opened([OpenedSum(np.array([5, -6]), 2, (0, 3), 1)], {2: "late"}, {"open": 0.5})
    journal.asked(Step(2, 1), b"n", [4, 5])
    again = Journal(path)
    again.open()
    one, two = again.earlier(1), again.earlier(2)
    assert (one.clients, one.lost, one.seconds, one.model) == ([0, 3], {2: "late"}, {"open": 0.5}, b"m")
    assert (one.sums[0].total.tolist(), one.sums[0].addends, one.sums[0].clients, one.sums[0].group) == (
        [5, -6], 2, [0, 3], 1
    )  # fmt: skip
    assert (two.attempt, two.clients, two.sums) == (1, [4, 5], [])
    assert again.last_opened.round == 1
    assert again.earlier(3) is None
    again.forget(1)
    assert Journal(path).earlier(1) is None
    left = Journal(path)
    left.open()
    assert (left.earlier(1), left.earlier(2).round, left.last_opened) == (None, 2, None)
    whole = path.read_bytes()
    for torn in (b"x", pack("<II", 3, 0) + b"abc", pack("<II", 9, crc32(b"abc")) + b"abc"):
        path.write_bytes(whole + torn)
        left = Journal(path)
        left.open()
        assert path.read_bytes() == whole
        assert left.earlier(2).round == 2
    assert any(found.read_bytes() == whole + b"x" for found in tmp_path.iterdir())
    Journal().asked(Step(1), b"m")
    Journal().opened([], {}, {})


def test_what_was_asked_for_is_on_the_disk_and_a_new_file_has_its_name_there_too(tmp_path, monkeypatch):
    forced = []
    monkeypatch.setattr("os.fsync", lambda file: forced.append(file))
    monkeypatch.setattr("aggregator.journal.force", lambda path: forced.append(path))
    journal = Journal(tmp_path / "journal")
    journal.asked(Step(1), b"m")
    assert [isinstance(each, int) for each in forced] == [True, False]
    assert forced[1] == tmp_path
    journal.asked(Step(2), b"m")
    assert [isinstance(each, int) for each in forced] == [True, False, True]


def test_a_table_gets_new_columns_as_they_come(tmp_path):
    table = CsvTracker(tmp_path / "rounds.csv")
    table.path.write_text("old")
    table.begin(3, 1)
    assert not table.path.exists()
    table.round(RoundRecord(1, metrics={"f1": 0.5}))
    table.round(RoundRecord(2, metrics={"f1": 0.75}))
    table.round(RoundRecord(3, metrics={"auc": 0.25}))
    table.begin(9, 4)
    rows = list(csv.DictReader(io.StringIO(table.path.read_text())))
    assert [(row["round"], row["f1"], row["auc"]) for row in rows] == [
        ("1", "0.5", ""),
        ("2", "0.75", ""),
        ("3", "", "0.25"),
    ]


class Terminal(io.StringIO):
    """Counts how often what was written is to be shown."""

    flushed = 0

    def flush(self) -> None:
        self.flushed += 1


def test_progress_in_place_and_line_by_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    for live in (True, False):
        out = Terminal()
        shown = ProgressTracker(out, live)
        shown.begin(3, 1)
        shown.phase(Phase(1, "update", 1, 4))
        shown.round(RoundRecord(3, train_loss=0.5))
        assert out.flushed == (2 if live else 1)
        shown.end()
        shown.end()
        text = out.getvalue()
        if live:
            assert text.startswith("\rround 1 of 3: update 1 of 4")
            assert text.endswith("round 3 of 3: loss 0.5000".ljust(len(text.split("\r")[1])) + "\n")
            assert max(map(len, text.split("\r"))) <= 40
        else:
            assert text == "round 3 of 3: loss 0.5000\n"


def test_a_line_that_changes_stays_in_its_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    shown = ProgressTracker(out := io.StringIO(), live=True)
    shown.begin(3, 1)
    shown.round(RoundRecord(3, metrics={"a_metric_with_a_long_name": 0.5}))
    shown.round(RoundRecord(3))
    _, long, short = out.getvalue().split("\r")
    assert long == "round 3 of 3: a_metric_with_a_long_name"
    assert short == "round 3 of 3: not evaluated".ljust(39)
