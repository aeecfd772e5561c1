"""The view of each party of a run: its transcript, added up by sender, recipient and round, and who can read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fedlearn.errors import DataError
from fedlearn.protocol.transcript import LONGEST_ROW, ROWS
from fedlearn.untrusted import from_json, without_waiting

MODEL, READABLE, SUM, KEY, SEALED, CONTROL = (
    "the model", "readable", "a sum", "with the key", "not readable", "no data",
)  # fmt: skip
MEANING = {
    MODEL: "the plan and the global model, which all clients are sent",
    READABLE: "updates and marks, in the clear: whoever gets them can read them",
    SUM: "the sum of a cohort, readable; no client's own update",
    KEY: "readable for who holds the key, or enough of its shares, and breaks the rules",
    SEALED: "encrypted or masked: the receiver cannot read it",
    CONTROL: "public keys, shares, consent: nothing of anybody's data",
}
CLIENT, AGGREGATOR, OPENER = "clients", "aggregator", "openers"


@dataclass
class Flow:
    """Messages of one kind, from one kind of party to another. rounds: round -> bytes; 0 is before the first."""

    sender: str
    recipient: str
    kind: str
    readable: str
    messages: int = 0
    rounds: Counter[int] = field(default_factory=Counter)

    @property
    def bytes(self) -> int:
        return self.rounds.total()


def flows(folder: Path, protection: str) -> list[Flow]:
    """All flows of a run folder, in order; none where it kept no transcript. Raises `DataError` for a damaged one."""
    file = folder / ROWS
    found: dict[tuple[str, str, str], Flow] = {}
    if not file.is_file():
        return []
    with open(file, "rb", opener=without_waiting) as rows:
        for line in iter(partial(rows.readline, LONGEST_ROW), b""):
            if not line.endswith(b"\n"):
                break  # of a run at work
            try:
                row = from_json(line)
                sender, recipient = _party(row["from"]), _party(row["to"])
                kind, phase, round, size = str(row["type"]), str(row["phase"]), int(row["round"]), int(row["bytes"])
                if round < 0 or size < 0:
                    raise ValueError
            except (ValueError, KeyError, TypeError, OverflowError):
                raise DataError(f"{file} has a row that cannot be read: it is damaged") from None
            name = kind if phase in ("", "update") or kind != "Update" else f"{kind} ({phase})"
            key = sender, recipient, name
            if key not in found:
                found[key] = Flow(sender, recipient, name, _readable(kind, phase, recipient, protection))
            found[key].messages += 1
            found[key].rounds[round] += size
    return list(found.values())


def _party(name: object) -> str:
    first = str(name).partition(":")[0]
    kinds: Mapping[str, str] = {"client": CLIENT, "worker": CLIENT, "opener": OPENER, "aggregator": AGGREGATOR}
    return kinds.get(first, first)


def _readable(kind: str, phase: str, recipient: str, protection: str) -> str:
    """The readers of a message of this kind."""
    if kind in ("RunPlan", "TrainRequest"):
        return MODEL
    if kind == "Marks":
        return READABLE
    if kind == "PartialSum":
        return READABLE if protection == "none" else SEALED
    if kind == "Opened":
        return SUM
    if kind == "OpenRequest":
        return SEALED
    if kind == "Update" and phase == "update":
        if protection == "none":
            return READABLE
        return KEY if recipient == OPENER else SEALED
    return CONTROL
