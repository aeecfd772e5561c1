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
from aggregator.faults import Fates
from aggregator.groups import RoundTask
from aggregator.history import Best, checked_metrics
from aggregator.journal import Journal, OpenedSum
from aggregator.losses import ClientsLog, loss_of, reasons, too_few
from aggregator.showing import flat_row
from aggregator.trackers import CsvTracker, ProgressTracker
from aggregator.watching import Phase
from fedlearn.errors import BadInput, FedlearnError, RoundVoid
from fedlearn.protocol import Loss, Lost, Step

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
        (name,) = change
        with pytest.raises(ValueError, match=rf"^{'no row of a round$' if name == 'f1' else f'{name} '}"):
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
