"""A record of what each party saw: one row per message, and with `record` the messages themselves.

`transcript.jsonl` holds one JSON row a message and recipient: session, round, attempt, phase, from, to, type,
bytes, and in full mode sha256; with `record` the message's bytes are appended to `payloads.bin` and the row gives its
offset.
A `PartyView` is everything one party sent or received: an attack is handed that and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from fedlearn.disk import at_home, naming
from fedlearn.errors import BadInput, DataError, ProtocolError
from fedlearn.protocol.bodies import Body
from fedlearn.protocol.messages import Message
from fedlearn.protocol.parties import AGGREGATOR, EVERYBODY, is_opener, transcript_name
from fedlearn.wording import many

ROWS, PAYLOADS = "transcript.jsonl", "payloads.bin"
MODES = ("full", "digest")
FIELDS = {"from": str, "to": str, "bytes": int, "sha256": str, "offset": int}  # of a recorded row, those that are read
LONGEST_ROW = 4096  # bytes
LARGEST = 2**63 - 1  # of a file, in bytes


def check_mode(mode: str) -> None:
    """Raise `BadInput` for anything but a transcript's modes."""
    if mode not in MODES:
        raise BadInput(f"transcript is {mode!r}: choose {' or '.join(MODES)}")


class Transcript:
    """Writes the rows of one run, and counts what travelled: `bytes_up` from clients to the aggregator, `bytes_down`
    from it to them, `bytes_openers` between it and the openers, both ways.

    folder: where the files go; None counts bytes only, so that memory stays flat without a run folder.
    record: keep the messages' bytes too (needed by attacks; a run's traffic on disk).
    mode: "full" with the hash of each message, "digest" with its size only.
    """

    def __init__(self, folder: Path | None = None, record: bool = False, mode: str = "full"):
        check_mode(mode)
        if record and folder is None:
            raise DataError("a transcript can only be recorded in a run folder: give one")
        self.record = record
        self._hashes = record or mode == "full"
        self.bytes_up = 0
        self.bytes_down = 0
        self.bytes_openers = 0
        self._rows: IO[str] | None = None
        self._payloads: IO[bytes] | None = None
        if folder is not None:
            _check_goes_on(folder, record)
            _mend(folder / ROWS, folder / PAYLOADS)
            self._rows = open(folder / ROWS, "a", encoding="utf-8")  # noqa: SIM115
            if record:
                self._payloads = open(folder / PAYLOADS, "ab")  # noqa: SIM115

    def saw(
        self,
        data: bytes,
        recipients: Iterable[int] | None = None,
        traffic: int | None = None,
        read: Message | None = None,
    ) -> Message:
        """Enter one message, once for each of its recipients, and return it read.

        recipients: parties of a broadcast; by default the one that the message names.
        traffic: bytes to count upwards in place of the message's own, which several clients' stand behind.
        read: the message, where somebody has read it already.
        """
        message = read or Message.from_bytes(data)
        to = [message.recipient] if recipients is None else list(recipients)
        others = [party for party in to if party < 0]
        if traffic is not None:
            self.bytes_up += traffic
        elif message.sender >= 0:
            self.bytes_up += len(data) * others.count(AGGREGATOR)
        else:
            self.bytes_down += len(data) * (len(to) - len(others))
        self.bytes_openers += len(data) * (len(to) if is_opener(message.sender) else sum(map(is_opener, others)))
        if self._rows is not None:
            with naming(self._rows.name):
                self._write(message, data, to)
        return message

    def _write(self, message: Message, data: bytes, recipients: list[int]) -> None:
        assert self._rows is not None
        row = {
            "session": message.session.hex(),
            "round": message.step.round,
            "attempt": message.step.attempt,
            "phase": message.step.phase,
            "from": transcript_name(message.sender),
            "type": type(message.body).__name__,
            "bytes": len(data),
        }
        if self._hashes:
            row["sha256"] = hashlib.sha256(data).hexdigest()
        if self._payloads is not None:
            row["offset"] = self._payloads.tell()
            self._payloads.write(data)
        if recipients:  # of a broadcast's rows only one name differs: written as JSON once
            before, after = f'{json.dumps(row)[:-1]}, "to": "', '"}\n'
            self._rows.write(before + f"{after}{before}".join(map(transcript_name, recipients)) + after)

    def flush(self) -> None:
        """Make everything entered so far readable by others; called after every round."""
        for file in (self._payloads, self._rows):
            if file is not None:
                with naming(file.name):
                    file.flush()

    def close(self) -> None:
        for file in (self._payloads, self._rows):
            if file is not None:
                with naming(file.name):
                    file.close()


def _check_goes_on(folder: Path, record: bool) -> None:
    """Raise `BadInput` for a transcript of which payloads are kept and this would keep none, or the reverse."""
    rows = folder / ROWS
    if rows.exists() and rows.stat().st_size and record != (folder / PAYLOADS).exists():
        how = "without" if record else "with"
        raise BadInput(f"{folder} was begun {how} record=True: go on {how} it")


def _mend(rows: Path, payloads: Path) -> None:
    """Cut off what the end of a process left half-written: a torn row, rows whose payload is not there."""
    if not rows.exists():
        return
    stored = payloads.stat().st_size if payloads.exists() else None
    length = end = 0
    with open(rows, "r+b") as file:
        for number, line in _lines(file):
            if not line.endswith(b"\n"):
                break
            if stored is not None:
                row = _read_row(line, number)
                if row["offset"] + row["bytes"] > stored:
                    break
                end = row["offset"] + row["bytes"]
            length += len(line)
        file.truncate(length)
    if stored is not None:
        os.truncate(payloads, end)


B = TypeVar("B", bound=Body)


@dataclass(frozen=True)
class PartyView:
    """All messages that one party sent or received in a recorded run, in order."""

    party: str
    messages: tuple[Message, ...]

    def __repr__(self) -> str:
        return f"<PartyView of {self.party}: {many(len(self.messages), 'message')}>"

    @classmethod
    def load(cls, folder: Path | str, party: int = AGGREGATOR) -> PartyView:
        """Read one party's view of a run folder.

        Raises `DataError` where no payloads were recorded, `ProtocolError` where what was recorded is damaged.
        """
        folder, name = at_home(folder), transcript_name(party)
        if not (folder / ROWS).is_file():
            raise DataError(f"{folder} holds no {ROWS}: give the folder of a run")
        if not (folder / PAYLOADS).is_file():
            raise DataError(f"{folder} holds no {PAYLOADS}: the run kept no payloads, run it again with record=True")
        with open(folder / ROWS, "rb") as rows, open(folder / PAYLOADS, "rb") as payloads:
            return cls(name, tuple(_messages(rows, payloads, name)))

    def bodies(self, kind: type[B]) -> Iterator[tuple[Message, B]]:
        """The messages whose body is of one kind, each with that body."""
        for message in self.messages:
            if isinstance(message.body, kind):
                yield message, message.body


def extract(folder: Path, party: int, destination: Path) -> None:
    """Write one party's part of a recorded run into the new folder `destination`, and nothing of anybody else's.

    `PartyView.load(destination, party)` is that party's view. Raises `DataError` as `PartyView.load` does.
    """
    view = PartyView.load(folder, party)
    destination.mkdir(parents=True)
    with closing(Transcript(destination, record=True)) as transcript:
        for message in view.messages:
            transcript.saw(message.to_bytes(), recipients=[party] if message.sender != party else None)


def _lines(rows: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines and their numbers; none is read further than a row can be long."""
    lines = iter(partial(rows.readline, LONGEST_ROW), b"")
    return enumerate(lines, 1)


def _read_row(line: bytes, number: int) -> dict[str, Any]:
    """A row, with all fields of their kinds; raises `ProtocolError` for any other."""
    try:
        row = json.loads(line)
        fits = all(type(row[name]) is kind for name, kind in FIELDS.items())
        fits = fits and 0 <= row["offset"] < LARGEST and 0 <= row["bytes"] < LARGEST
    except (ValueError, RecursionError, KeyError, TypeError):
        fits = False
    if not fits:
        raise ProtocolError(f"{ROWS}, line {number}: {line!r:.60} is no row of a recorded message: the file is damaged")
    return cast(dict[str, Any], row)


def _messages(rows: IO[bytes], payloads: IO[bytes], name: str) -> Iterator[Message]:
    everybody = transcript_name(EVERYBODY)
    last, stored = None, os.fstat(payloads.fileno()).st_size
    for number, line in _lines(rows):
        row = _read_row(line, number)
        if name not in (row["from"], row["to"]) and row["to"] != everybody:
            continue
        if row["offset"] == last:  # the same broadcast, to the next recipient
            continue
        last = row["offset"]
        if last + row["bytes"] > stored:
            raise ProtocolError(f"{ROWS}, line {number}: its message is not in {PAYLOADS}: the recording is cut off")
        payloads.seek(last)
        data = payloads.read(row["bytes"])
        if hashlib.sha256(data).hexdigest() != row["sha256"]:
            raise ProtocolError(f"payload at offset {last} does not match its row's sha256: the recording is damaged")
        yield Message.from_bytes(data)
