"""What clients are given as, and what they and their workers say: at the edge of what is taken."""

from __future__ import annotations

import logging
from collections import UserList
from multiprocessing import Pipe
from pathlib import Path
from queue import Empty
from types import SimpleNamespace

import msgpack
import numpy as np
import pytest

from aggregator.charging import totals_of
from aggregator.examining import MOST_BYTES, _read, spread
from clients import Client
from clients.client import as_clients
from clients.guarded import guarded, lost, trace_again
from clients.logs import _ParentHandlers, _Records, send_records
from clients.ownlog import keep_records, private_records_in
from clients.session import plan_errors
from clients.wire import enrols, read_answers, read_record, write_said
from fedlearn.errors import BadInput, CodecError, PoolFailure, ProtocolError
from fedlearn.logs import mark_records
from fedlearn.protocol import AGGREGATOR, Enrolment, Lost, Message, Partial, Reply, Step
from fedlearn.secure.aggregate import Aggregate

X, Y = np.zeros((3, 2), np.float32), np.array([0, 1, 0])


@pytest.mark.parametrize("given", [[(X, Y)], ((X, Y),), [[X, Y]], {"ann": (X, Y)}, [Client("ann", (X, Y))]])
def test_clients_are_taken_as(given):
    (client,) = as_clients(given)
    assert len(client.data) == 3
    assert client.name in ("client-0", "ann")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_whatever_makes_clients_by_number_is_taken_as_it_is(count):
    made = UserList(Client("ann", (X, Y)) for _ in range(count))
    assert as_clients(made) is made


@pytest.mark.parametrize(("given", "text"), [
    ([(X, Y, Y)], "client-0 is a tuple; give Client"), ([X], "client-0 is a ndarray; give Client"),
    ([(X, Y), "ab"], "client-1 is a str; give Client"), ({}, "clients are {}; give a list"), ("ab", "clients are 'ab'"),
    (5, "clients are "), (X, "clients are "), (Client, "clients are "),
    ([(X, Y[:2])], "client-0: "), ([(X, 5)], "client-0: its targets"), ([("ab", Y)], "client-0: its features"),
    ([(np.ma.masked_equal(X, 0), Y)], "client-0: its features"),
])  # fmt: skip
def test_what_are_no_clients(given, text):
    with pytest.raises(BadInput) as refused:
        as_clients(given)
    assert str(refused.value).startswith(text)


def test_names_that_several_clients_have_are_told(caplog):
    as_clients([Client(name, (X, Y)) for name in ("bob", "ann", "sue")])
    assert not caplog.records
    as_clients([Client(name, (X, Y)) for name in ("bob", "ann", "ann", "sue")])
    (record,) = caplog.records
    assert record.getMessage() == ("2 clients are named ann: logs cannot tell them apart; give each a name of its own")


def said(value) -> bytes:
    return msgpack.packb(value)


def test_marks_are_finite_numbers_by_name():
    assert _read(said({"loss": 0.5, "f1": 1.0})) == {"loss": 0.5, "f1": 1.0}
    longest = said({"a" * (MOST_BYTES - 13): 0.5})
    assert len(longest) == MOST_BYTES
    assert list(_read(longest).values()) == [0.5]
    with pytest.raises(ProtocolError, match=f"its answer has {MOST_BYTES + 1:,} bytes, {MOST_BYTES:,} are allowed"):
        _read(said({"a" * (MOST_BYTES - 12): 0.5}))
    for bad in (
        [], {"loss": float("nan"), "f1": 1.0}, {"loss": 0.5, "f1": float("inf")}, {"loss": 1}, {1: 0.5}, {"a b": 0.5},
    ):  # fmt: skip
        with pytest.raises(ProtocolError, match="its answer is no table of numbers by name"):
            _read(said(bad))
    with pytest.raises(ProtocolError, match="its answer is no table"):
        _read(b"\xc1")


def test_a_tenth_half_and_nine_tenths_of_the_clients():
    found = spread({i: {"loss": float(i)} | ({"f1": 0.5} if i else {}) for i in range(11)})
    assert found == {
        "client_loss_p10": 1.0, "client_loss_p50": 5.0, "client_loss_p90": 9.0,
        "client_f1_p10": 0.5, "client_f1_p50": 0.5, "client_f1_p90": 0.5,
    }  # fmt: skip


def test_totals_are_sums_or_with_noise_the_mean_times_who_is_expected():
    aggregate = Aggregate({"a": np.array([0.5])}, 3, sums={"a": np.array([7])})
    assert totals_of(aggregate, None)["a"].tolist() == [7]
    charges = SimpleNamespace(terms=SimpleNamespace(expected=8))
    assert totals_of(aggregate, charges)["a"].tolist() == [4.0]


def test_answers_and_errors_of_a_worker_are_read_as_they_were():
    mine = [Reply(3, b"a"), Partial((3, 5), b"b"), Lost(5, "late")]
    assert read_answers(write_said(mine), (3, 5)) == mine
    for error in (PoolFailure("disk"), OSError(28, "full")):
        assert type(read_answers(write_said(error), (3, 5))) is type(error)
    for foreign in (Reply(9, b"a"), Partial((3, 9), b"b"), None):
        with pytest.raises(ProtocolError):
            read_answers(write_said([*mine, foreign] if foreign else None), (3, 5))
    with pytest.raises(ProtocolError, match="it raised CodecError, of which its own log has the text"):
        read_answers(write_said(CodecError("quotes a client")), (3, 5))


def test_an_enrolment_is_of_a_workers_own_client():
    message = Message(bytes(16), Step(0), 3, AGGREGATOR, Enrolment(b"key")).to_bytes()
    assert enrols(message, (3,))
    assert not enrols(message, (4,))
    assert not enrols(message[:-1], (3,))
    assert not enrols("text", (3,))
    assert not enrols(None, (3,))


def test_a_fault_costs_its_client_and_its_traceback_is_logged_once(caplog):
    trace_again()

    def fails(kind):
        def work():
            raise kind("why")

        return work

    assert guarded(1, "ann", 4, lambda: 5) == 5
    first = guarded(1, "ann", 4, fails(KeyError))
    again = guarded(2, "bob", 4, fails(KeyError))
    refused = guarded(3, "cid", 4, fails(CodecError))
    assert (first.client, first.reason, first.refused) == (1, "KeyError: 'why'", False)
    assert "raise kind" in first.trace
    assert "raise kind" in again.trace
    assert refused == Lost(3, "why", refused=True)
    assert refused.trace is None
    assert [record.exc_info is not None and bool(record.exc_info) for record in caplog.records] == [True, False, False]
    assert [record.getMessage() for record in caplog.records] == [
        "ann: failed in round 4, KeyError: 'why'", "bob: failed in round 4, KeyError: 'why'", "cid: why"
    ]  # fmt: skip
    trace_again()
    lost(1, "ann", 5, KeyError("why"))
    assert caplog.records[-1].exc_info
    with pytest.raises(PoolFailure):
        guarded(1, "ann", 4, fails(PoolFailure))


def test_faults_of_a_plan_are_told_as_the_plans_in_letters_that_can_be_shown():
    for error, text in (
        (ValueError("no such key"), "the plan cannot be followed, ValueError: no such key; all"),
        (CodecError("\x1b[2J"), "the plan cannot be followed, CodecError: \\x1b[2J; all"),
        (CodecError("of 1 bit"), "of 1 bit"),
    ):
        with pytest.raises(BadInput) as told, plan_errors():
            raise error
        assert str(told.value).startswith(text)
        assert type(told.value) is (type(error) if text == str(error) else ProtocolError)


def test_a_workers_record_reaches_the_loggers_handlers_if_its_level_is_asked_for(caplog):
    record = logging.makeLogRecord({"name": "fedlearn.some", "levelno": logging.INFO, "msg": "told"})
    for level, messages in ((logging.WARNING, []), (logging.INFO, ["told"])):
        caplog.set_level(level, "fedlearn.some")
        _ParentHandlers().emit(record)
        assert caplog.messages == messages


@pytest.fixture
def handlers():
    """The root logger's, put back afterwards."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield root
    root.handlers = before


def test_a_pipe_of_records_says_how_many_wait():
    here, there = Pipe()
    records = _Records(here)
    assert records.qsize() == 0
    there.send_bytes(b"x")
    assert records.qsize() == 1
    with pytest.raises(Empty):  # it is no record
        records.get(1.0)
    records.close()
    assert records.qsize() == 0


def test_a_worker_sends_records_of_the_level_that_is_asked_for(handlers):
    here, there = Pipe()
    level = handlers.level
    try:
        send_records(there, logging.WARNING)
        handlers.info("one")
        handlers.warning("two")
    finally:
        handlers.setLevel(level)
    assert read_record(here.recv_bytes()).getMessage() == "two"
    assert not here.poll()


def test_records_of_a_hidden_worker_go_to_its_own_file(tmp_path, handlers, capsys):
    mark_records()
    file = tmp_path / "clients.log"
    keep_records(file)
    assert not file.exists()
    handlers.warning("one")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().rstrip().endswith("one")
    for nowhere in (None, tmp_path / "elsewhere" / "clients.log"):
        keep_records(nowhere)
        handlers.warning("two")
        assert capsys.readouterr().err.rstrip().endswith("two")
    assert not (tmp_path / "elsewhere").exists()


def test_private_records_are_written_once_for_as_long_as_asked(tmp_path, handlers):
    file = tmp_path / "clients.log"
    before = list(handlers.handlers)
    with private_records_in(None):
        assert handlers.handlers == before
    with private_records_in(file):
        assert len(handlers.handlers) == len(before) + 1
        with private_records_in(Path(file)):
            assert len(handlers.handlers) == len(before) + 1
        with private_records_in(tmp_path / "other.log"):
            assert len(handlers.handlers) == len(before) + 2
        handlers.warning("public")
    assert handlers.handlers == before
    assert not file.exists()
