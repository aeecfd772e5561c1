"""What workers say travels as plain fields, and comes out as it went in; whatever else they send is refused."""

from __future__ import annotations

import errno
import logging

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.wire import RECORD, read_answers, read_record, read_said, write_record, write_said
from fedlearn.errors import CodecError, FedlearnError, PoolFailure, ProtocolError
from fedlearn.protocol import Lost, Partial, Reply

ANSWERS = [
    Reply(3, b"\x00message"),
    Partial((1, 5), b"sum"),
    Lost(2, "KeyError: 'caf\u00e9 \ud800'", trace="line 1\nline 2"),
    Lost(4, "its worker ended", again=True),
    Lost(6, "3 values are NaN", refused=True),
]


def test_answers_come_out_as_they_went_in():
    assert read_answers(write_said(ANSWERS), range(7)) == ANSWERS
    assert [answer.trace for answer in read_said(write_said(ANSWERS))[2:]] == ["line 1\nline 2", None, None]
    assert read_said(write_said([b"one", b"two"])) == [b"one", b"two"]
    assert read_said(write_said([])) == []
    assert read_said(write_said(None)) is None


@pytest.mark.parametrize("odd", [
    None, 5, [], ["x"], ["answers"], ["answers", 5], ["messages"], ["messages", ["text"]], ["messages", 5],
    ["error", 5, "x"], ["error", "CodecError"], ["os error", "1", "x", None], ["os error", None, "x", "/file"],
    ["answers", [5]], ["answers", [["reply", "3", b""]]], ["answers", [["reply", 3, "text"]]],
    ["answers", [["partial", [], b""]]], ["answers", [["partial", ["3"], b""]]],
    ["answers", [["partial", [3], "text"]]],
    ["answers", [["lost", 3, "x", 1, True, None]]], ["answers", [["lost", 3, "x", True, 1, None]]],
    ["answers", [["lost", 3, "x", True, True, 5]]], ["answers", [["lost", 3, "x", True, True]]],
])  # fmt: skip
def test_what_is_no_answer_is_refused(odd):
    with pytest.raises(ProtocolError, match=r"^it sent what is no answer$"):
        read_said(msgpack.packb(odd))


@pytest.mark.parametrize("change", [{"name": 5}, {"levelno": "30"}, {"more": 1}, {"created": 5}])
def test_what_is_no_log_record_is_refused(change):
    fields = msgpack.unpackb(write_record(logging.makeLogRecord({"msg": "said", "levelno": 30})))
    assert read_record(msgpack.packb(fields)).getMessage() == "said"
    for odd in (fields | change, [*fields]):
        with pytest.raises(ProtocolError, match=r"^it sent what is no log record$"):
            read_record(msgpack.packb(odd))


class OwnError(CodecError):
    pass


@pytest.mark.parametrize(
    ("error", "kind"),
    [(CodecError("x"), CodecError), (PoolFailure("x"), PoolFailure), (OwnError("x"), CodecError)],
)  # fmt: skip
def test_an_error_is_of_the_kind_that_it_was(error, kind):
    again = read_said(write_said(error))
    assert (type(again), str(again)) == (kind, "x")


@pytest.mark.parametrize("named", ["NoSuchError", "Mapping", "annotations", "__name__"])
def test_an_error_by_a_name_that_is_none_of_ours_is_just_one(named):
    again = read_said(msgpack.packb(["error", named, "x"]))
    assert (type(again), str(again)) == (FedlearnError, "x")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left", "/there/caf\udce9"), OSError("no number")])
def test_an_error_of_the_system_keeps_its_number_and_place(error):
    again = read_said(write_said(error))
    assert (again.errno, str(again)) == (error.errno, str(error))


def test_a_log_record_keeps_its_fields():
    record = logging.makeLogRecord({"name": "a.b", "msg": "said", "levelno": 30, "levelname": "WARNING", "lineno": 7})
    again = read_record(write_record(record))
    assert {name: getattr(again, name) for name in RECORD if hasattr(record, name)} == {
        name: getattr(record, name) or kind() for name, kind in RECORD.items() if hasattr(record, name)
    }


@pytest.mark.parametrize(
    "said",
    [
        [Reply(7, b"")], [Partial((1, 9), b"")], [Lost(8, "")], [b"a message"], [], None,
    ],
)  # fmt: skip
def test_a_worker_answers_for_its_own_clients_only(said):
    with pytest.raises(ProtocolError, match="it answered for clients that it does not have"):
        read_answers(write_said(said), range(7))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8) | st.binary(max_size=8)
    | st.sampled_from(["answers", "messages", "error", "os error", "reply", "partial", "lost", "CodecError", "Any"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=40) | PLAIN.map(lambda value: msgpack.packb(value, unicode_errors="surrogatepass")))
def test_anything_else_is_refused(data):
    for read in (read_said, read_record):
        try:
            found = read(data)
        except ProtocolError:
            continue
        assert found is None or isinstance(found, list | FedlearnError | OSError | logging.LogRecord)
