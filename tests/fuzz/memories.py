"""Readers of what parties keep from round to round and over sessions, which somebody else may have written."""

from __future__ import annotations

import shutil
import struct
from functools import cache, partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from aggregator import Aggregator, RunFolder
from aggregator.checkpoints import Checkpoints, _checksum
from aggregator.journal import HEAD, Entry, Journal, OpenedSum
from clients import InlinePool
from clients.memory import SLOTS, TABLE, ClientMemory
from fedlearn.errors import NothingLearned
from fedlearn.privacy.ledger import Ledger, Row, _digest
from fedlearn.protocol import AGGREGATOR, EVERYBODY, Counted, Message, Step
from fedlearn.secure.opened import OpenedRounds
from fedlearn.strategies.scaffold import Scaffold
from tests.fuzz.loop import Reader
from tests.fuzz.odd import odd_json
from tests.fuzz.readers import JSON, folder
from tests.toys import toy_clients, toy_model, toy_plain

CONFIGURATION: dict[str, Any] = {"rounds": 3, "seed": 0}
NUMBERS = {"c": 12}  # what a client keeps, by name
HEADER = struct.Struct("<Q")  # of a safetensors file: the length of its JSON
RUN_FILES = (
    "run.json", "metrics.jsonl", "transcript.jsonl", "payloads.bin", "checkpoint/round-000001.safetensors",
    "checkpoint/round-000002.safetensors", "checkpoint/clients/0", "checkpoint/opened.journal",
)  # fmt: skip


def empty(name: str) -> Path:
    """A folder without anything in it."""
    path = folder() / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    return path


def journals() -> list[bytes]:
    asked = Entry(1, 0, bytes(32), clients=(0, 2))
    sums = [OpenedSum(np.arange(5), 2, (0, 2)), OpenedSum(np.arange(5), 2, (1, 3), 1)]
    opened = Entry(1, 0, bytes(32), (0, 2, 1, 3), sums, {4: "refused its task"}, {"open": 0.5})
    return [asked.to_bytes() + opened.to_bytes(), opened.to_bytes(), Entry(2, 1, bytes(32), clients=(0, 1)).to_bytes()]


def checked_entry(data: bytes) -> bytes:
    """One entry of the length and check that its head says."""
    body = data[HEAD.size :]
    return HEAD.pack(len(body), crc32(body)) + body


def read_journal(data: bytes) -> object:
    path = empty("journal") / "opened.journal"
    path.write_bytes(data)
    journal = Journal(path)
    journal.open()
    found = [entry for entry in map(journal.earlier, range(4)) if entry is not None]
    for entry in found:  # as a session that goes on uses them
        assert all(len(each.total) + each.addends for each in entry.sums)
    journal.forget(0)
    return journal.last_opened


def openers_memories() -> list[bytes]:
    path = empty("opener") / "opener-0"
    opened = OpenedRounds(2, None)
    opened.recall(path)
    for round, cohort in ((1, (0, 1, 2)), (2, (0, 3)), (5, (1, 2, 3))):
        opened.enter((round, 0), bytes([round] * 32), cohort)
    return [path.read_bytes()]


def recall(data: bytes) -> None:
    path = empty("opener") / "opener-0"
    path.write_bytes(data)
    opened = OpenedRounds(2, None)
    opened.recall(path)
    opened.check_number((2**32 - 1, 0), 2**32 - 1)
    opened.check_overlap((2**32 - 1, 0), {0, 1, 4})
    opened.enter((2**32 - 1, 0), b"new", {0, 1, 4})


def notice(round: int) -> bytes:
    return Message(bytes(16), Step(round), AGGREGATOR, EVERYBODY, Counted()).to_bytes()


def client_states() -> list[bytes]:
    memory = ClientMemory(empty("clients"))
    memory.rewind(0)
    for round in (1, 2, 3):
        memory.note([0], {"c": np.arange(12, dtype=np.float32)}, NUMBERS)
        memory.settle(notice(round), [0], [round])
    memory.note([0], {"c": np.ones(12, np.float32)}, NUMBERS)
    return [(memory.folder / "0").read_bytes()]


def checked_state(data: bytes) -> bytes:
    """The states that are there have the checks that the table says."""
    rounds = TABLE.unpack(data[: TABLE.size].ljust(TABLE.size, b"\0"))[:SLOTS]
    rest, width = data[TABLE.size :], 4 * NUMBERS["c"]
    checks = [crc32(rest[at : at + width]) for at in range(0, SLOTS * width, width)]
    return TABLE.pack(*rounds, *checks) + rest


def go_on_with_state(data: bytes) -> None:
    memory = ClientMemory(empty("clients"))
    (memory.folder / "0").write_bytes(data)
    memory.rewind(2, [0])
    memory.recall([0, 1], NUMBERS)
    memory.note([0], {"c": np.ones(12, np.float32)}, NUMBERS)
    memory.settle(notice(3), [0], [2])


def revealed(data: bytes) -> object:
    memory = ClientMemory(empty("clients"))
    (memory.folder / "revealed-0123456789abcdef").write_bytes(data)
    return memory.revealed()


def kept_run() -> Path:
    """A recorded run of two rounds whose clients keep state, and that may go on with a third."""
    path = folder() / "kept"
    if not path.exists():
        kept = RunFolder(path, CONFIGURATION, {"name": "toy"}, record=True)
        Aggregator(toy_model(), Scaffold(lr=0.5), toy_plain(), folder=kept).fit(InlinePool(toy_clients()), 2)
        (path / "checkpoint/opened.journal").write_bytes(journals()[0])
    return path


def a_checkpoint() -> list[bytes]:
    return [(kept_run() / "checkpoint/round-000002.safetensors").read_bytes()]


def checked_checkpoint(data: bytes) -> bytes:
    """The numbers of a file that can be read have the check that it says."""
    try:
        arrays = load(data)
    except (SafetensorError, KeyError, ValueError, TypeError):
        return data
    return save(arrays, {"crc32": _checksum(arrays)})


def read_checkpoint(data: bytes) -> object:
    path = empty("checkpoints")
    (path / "checkpoint").mkdir()
    (path / "checkpoint/round-000002.safetensors").write_bytes(data)
    (path / "metrics.jsonl").write_bytes((kept_run() / "metrics.jsonl").read_bytes())
    checkpoints = Checkpoints(path / "checkpoint", path / "metrics.jsonl")
    checkpoints.open()
    return checkpoints.newest()


@cache
def whole_run() -> dict[str, bytes]:
    return {name: (kept_run() / name).read_bytes() for name in RUN_FILES}


def go_on(name: str, data: bytes) -> None:
    """Resume the run, one of whose files is another."""
    path = empty("going-on")
    (path / "checkpoint/clients").mkdir(parents=True)
    for each, content in (whole_run() | {name: data}).items():
        (path / each).write_bytes(content)
    kept = RunFolder(path, CONFIGURATION, {"name": "toy"}, record=True, resume=True)
    try:
        Aggregator(toy_model(), Scaffold(lr=0.5), toy_plain(), folder=kept).fit(InlinePool(toy_clients()), 3)
    except NothingLearned:
        return


def ledgers() -> list[bytes]:
    path = empty("ledger") / "ledger.jsonl"
    ledger = Ledger.create(path)
    for round in (1, 2, 3):
        ledger.charge(Row("00ff", round, 0, 0.5, 1.25, round))
    return [path.read_bytes()]


def digested_ledger(data: bytes) -> bytes:
    """Every row has the digest of those before it."""
    header, *rows = data.decode(errors="replace").split("\n")
    lines, digest = [header], _digest("", header)
    for row in rows[:-1]:
        body = row.rpartition(" ")[0]
        digest = _digest(digest, body)
        lines.append(f"{body} {digest}")
    return "\n".join([*lines, ""]).encode()


def read_ledger(data: bytes) -> object:
    path = empty("ledger") / "ledger.jsonl"
    path.write_bytes(data)
    return Ledger.load(path).rows


ODDLY = {
    "run.json": odd_json(lambda: [whole_run()["run.json"]], lines=False),
    "metrics.jsonl": odd_json(lambda: [whole_run()["metrics.jsonl"]]),
    "transcript.jsonl": odd_json(lambda: [whole_run()["transcript.jsonl"]]),
}


def goes_on(name: str) -> Reader:
    def samples() -> list[bytes]:
        return [whole_run()[name]]

    return Reader(f"run that goes on, {name}", samples, partial(go_on, name), ODDLY.get(name), JSON, 0.02)


MEMORIES = [
    Reader("journal", journals, read_journal, checked_entry, (b"\x91" * 5000, b"\xdd\xff\xff\xff\xff", b"\xc0")),
    Reader("opener's memory", openers_memories, recall, odd_json(openers_memories), JSON),
    Reader("client's state", client_states, go_on_with_state, checked_state, (b"\xff\xff\xff\xff", bytes(4))),
    Reader("clients' shares given away", lambda: [bytes(16), bytes(range(24))], revealed),
    Reader("checkpoint", a_checkpoint, read_checkpoint, checked_checkpoint, (*JSON, b'"F32"', b'"I64"', b'"BOOL"')),
    *map(goes_on, RUN_FILES),
    Reader("ledger", ledgers, read_ledger, digested_ledger, JSON),
]
