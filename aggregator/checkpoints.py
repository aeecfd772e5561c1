"""Checkpoints: after every round, what the next one needs, beside the line of that round in metrics.jsonl.

A checkpoint goes on from the lines before it, so neither grows with the rounds that lie behind. Both survive the death
of the process. To survive a power cut they must be forced to the disk too, which takes milliseconds, longer than a
round of small clients: so whoever writes them says when (`force`). The last checkpoint that was forced is kept until
the next one is.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from aggregator.history import RoundRecord
from aggregator.journal import Journal
from fedlearn.checked import REAL
from fedlearn.disk import added, aside, force, set_aside, strict_json, write_atomic
from fedlearn.errors import BadInput
from fedlearn.untrusted import content, escaped
from fedlearn.wording import many

log = logging.getLogger(__name__)
LONGEST_FAULT = 200  # characters, of what is wrong with a checkpoint
KEPT = 2  # checkpoints, and the last one that was forced to the disk
WEIGHTS, STATE = "weights", "state."  # names of arrays in a file: the weights, and how those of the state begin


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state that a run goes on from. weights: float32 (P,). state: the strategy's. records: of rounds so far."""

    weights: np.ndarray
    state: dict[str, np.ndarray]
    records: list[RoundRecord]


@dataclass(frozen=True)
class Shelf:
    """The files by which a later session goes on with this one.

    journal: sums that were asked for, and what was opened. client_states: what clients remember between rounds, and
    openers_memory what openers opened: not for this side to read. clients_log: where clients under a protection say
    what only they may know.
    """

    journal: Journal
    client_states: Path
    openers_memory: Path
    clients_log: Path


class Checkpoints:
    """The checkpoints in `folder`, and the records of all rounds in the file `metrics`."""

    def __init__(self, folder: Path, metrics: Path):
        self._folder = folder
        self._metrics = metrics
        self._found: list[Path] = []  # of an earlier session, in order of rounds; some may be damaged
        self._paths: dict[int, Path] = {}  # by round, rising: those that were found whole, and this session's
        self._forced: int | None = None  # the round of the last one that is known to be on the disk
        self.journal = Journal(folder / "opened.journal")
        self._survey = Journal(folder / "survey" / "opened.journal")

    def open(self) -> None:
        """Make the folder, or find what is in it."""
        self._folder.mkdir(exist_ok=True)
        self._found = self._on_disk()
        self.journal.open()
        self._survey.open()

    @property
    def last(self) -> int:
        """The last round of which a checkpoint is on the disk; 0 where there is none."""
        return max(map(_round_of, self._on_disk()), default=0)

    def _on_disk(self) -> list[Path]:
        return sorted(self._folder.glob("round-*.safetensors"), key=_round_of)

    def make_survey(self, clients_log: Path) -> Shelf:
        """The files of the session that surveys clients, in a folder of their own that is made here."""
        folder = self._folder / "survey"
        folder.mkdir(exist_ok=True)
        return Shelf(self._survey, folder / "clients", folder / "openers", clients_log)

    @property
    def client_states(self) -> Path:
        """The folder in which the pool may keep what clients remember between rounds: not for this side to read."""
        return self._folder / "clients"

    @property
    def openers_memory(self) -> Path:
        """The folder in which openers may keep what they opened, over all sessions: not for this side to read."""
        return self._folder / "openers"

    @property
    def rounds(self) -> list[int]:
        """The rounds whose checkpoints are kept."""
        return list(self._paths)

    def add(self, record: RoundRecord, weights: np.ndarray, state: dict[str, np.ndarray]) -> None:
        """Enter a round and write its checkpoint: both or none of them.

        Raises `BadInput` for state that a file cannot hold.
        """
        path = self._folder / f"round-{record.round:06d}.safetensors"
        arrays = {WEIGHTS: _storable(WEIGHTS, weights)}
        arrays |= {STATE + name: _storable(name, array) for name, array in state.items()}
        data = save(arrays, {"crc32": _checksum(arrays)})
        with added(self._metrics, strict_json(record.to_dict()).encode() + b"\n"):
            write_atomic(path, data, sync=False)
        self._paths[record.round] = path

    def force(self) -> None:
        """Force the last checkpoint to the disk, after all that it goes on from."""
        if self._paths and self._forced != (last := next(reversed(self._paths))):
            if self.client_states.exists():
                os.sync()  # what clients remember: a file for each
            force(self._metrics)
            force(self._paths[last])
            force(self._folder)
            self._forced = last
            self.journal.forget(last)
            self._survey.forget(last)
            self.remove_old()

    def remove_old(self) -> None:
        """Leave the last two checkpoints, and the last one that was forced to the disk."""
        for old in self.rounds[:-KEPT]:
            if old != self._forced:
                self._paths.pop(old).unlink(missing_ok=True)

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that can be used, or None where there is none yet. Rounds after it are run again.

        Checkpoints that cannot be used are set aside, with metrics.jsonl as it was. Raises `BadInput`, and changes
        nothing, where that would leave none.
        """
        lines = content(self._metrics).splitlines(keepends=True) if self._metrics.exists() else []
        faults: dict[Path, str] = {}
        for path in reversed(self._found):
            try:
                found = _read_checkpoint(path, lines)
                break
            except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
                faults[path] = escaped(error, LONGEST_FAULT)
        else:
            if faults:
                raise BadInput(self._none_left(faults))
            if lines:
                set_aside(self._metrics)
            return None
        self._paths = {_round_of(path): path for path in self._found if path not in faults}
        self._set_aside(faults)
        os.truncate(self._metrics, sum(map(len, lines[: len(found.records)])))
        self.force()  # which one was forced to the disk nobody knows any more
        return found

    def _none_left(self, faults: dict[Path, str]) -> str:
        """What to do where no checkpoint can be used. faults: of each what is wrong, the newest first."""
        path, fault = next(iter(faults.items()))
        return (
            f"none of {many(len(faults), 'checkpoint')} in {self._folder} can be used; of the newest, {path.name}: "
            f"{fault}; mend that, or begin a new run from the model as it is, fedlearn.load or --from "
            f"{self._folder.parent}"
        )

    def _set_aside(self, faults: dict[Path, str]) -> None:
        """Keep what cannot be used under another name, and say so."""
        if faults and self._metrics.exists():
            shutil.copyfile(self._metrics, aside(self._metrics))
        for path, fault in faults.items():
            moved = set_aside(path)
            log.warning(
                "%s cannot be used: %s; it is kept as %s, the run goes on before it", path.name, fault, moved.name
            )


def _round_of(checkpoint: Path) -> int:
    return int(checkpoint.stem.removeprefix("round-"))


def _storable(name: str, array: np.ndarray) -> np.ndarray:
    """The same numbers as a file holds them: in one piece, row after row, little-endian."""
    array = np.asarray(array)
    if array.dtype.kind not in REAL or array.dtype.itemsize > 8:
        raise BadInput(
            f"the strategy's state {name!r} is an array of {array.dtype}, which a checkpoint cannot hold: "
            "keep numbers of up to 64 bits"
        )
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    check = 0
    for name, array in sorted(arrays.items()):
        check = crc32(array.ravel().view(np.uint8).data, crc32(name.encode(), check))
    return f"{check:08x}"


def _read_checkpoint(path: Path, lines: Sequence[bytes]) -> Checkpoint:
    """Read a checkpoint and the lines before it; raises one of several errors for what is not whole."""
    arrays, records = _read_arrays(path), _read_records(lines, _round_of(path))
    weights = arrays.pop(WEIGHTS)
    return Checkpoint(weights, {name.removeprefix(STATE): array for name, array in arrays.items()}, records)


def _read_arrays(checkpoint: Path) -> dict[str, np.ndarray]:
    if not checkpoint.is_file():
        raise ValueError("it is no ordinary file")
    with safe_open(checkpoint, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if file.metadata()["crc32"] != _checksum(arrays):
            raise ValueError("it is damaged: its numbers are not those that were written")
    return arrays


def _read_records(lines: Sequence[bytes], count: int) -> list[RoundRecord]:
    """Of the first `count` lines."""
    if len(lines) < count:
        raise ValueError(f"metrics.jsonl has {many(len(lines), 'line')} where {count} are needed")
    records = []
    for number, line in enumerate(lines[:count], 1):
        try:
            record = RoundRecord.from_dict(json.loads(line))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise ValueError(f"line {number} of metrics.jsonl is damaged") from None
        if record.round != number or not line.endswith(b"\n"):
            raise ValueError(f"line {number} of metrics.jsonl is not the whole line of round {number}")
        records.append(record)
    return records
