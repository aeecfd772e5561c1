"""A run's folder on disk. Everything in it is whole at any moment: files are written beside and renamed.

run.json (configuration, versions, seed, data, outcome), metrics.jsonl (a line a round), model.safetensors,
transcript.jsonl (with --record also payloads.bin), run.log, checkpoint/. Where a strategy has clients keep state, they
do so in checkpoint/clients/, before the checkpoint of the round that it came of is written.

Every round ends with a line in metrics.jsonl and then a checkpoint, which holds what the next round needs and goes on
from the lines before it: so neither grows with the rounds that lie behind. Both survive the death of the process. To
survive a power cut they must also be forced to the disk, which takes milliseconds, longer than a round of small
clients: so that is done as often as a twentieth of the run's time allows, and at the end. The last checkpoint that was
is kept until the next one is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
import time
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from aggregator.disk import force, line_added, write_atomic
from aggregator.history import RoundRecord
from fedlearn.errors import BadInput
from fedlearn.logs import mark_records
from fedlearn.protocol import Transcript
from fedlearn.protocol.transcript import check_mode

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s [client %(client)s, round %(round)s] %(message)s"
KEPT_CHECKPOINTS = 2
SYNC_SHARE = 0.05  # of a run's time, for waiting until something is on the disk


class _RunLog(logging.FileHandler):
    """Silent where it cannot be written: a checkpoint cannot be either then, which ends the run with the reason."""

    def handleError(self, record: logging.LogRecord) -> None: ...  # noqa: N802


class RunFolder:
    """Where one run's files go. Nothing is on disk before `begin`.

    configuration: what decides the run's numbers, seed included; a run is resumed with the same one only.
    data_set: name and SHA-256 of what was trained on.
    record: keep the transcript's payloads. transcript: its mode, "full" or "digest".
    kernels: how the run's recurrent layers compute (`KernelPlan.to_dict()`), once that is decided.
    """

    kernels: dict[str, Any]

    def __init__(
        self,
        path: Path,
        configuration: dict[str, Any],
        data_set: dict[str, Any],
        *,
        record: bool = False,
        resume: bool = False,
        transcript: str = "full",
    ):
        check_mode(transcript)
        self.path = path
        self.configuration = configuration
        self.data_set = data_set
        self._metrics = path / "metrics.jsonl"
        self._checkpoint_folder = path / "checkpoint"
        self._record = record
        self._resume = resume
        self._transcript = transcript
        self._checkpoints: list[Path] = []  # on disk, in order
        self._forced: Path | None = None  # one of them
        self.kernels = {}
        if resume:
            self._check_same_configuration()
        elif path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise BadInput(f"run folder {path} is not empty: give another one, or --resume to go on with that run")

    def _check_same_configuration(self) -> None:
        try:
            run = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            before = run["configuration"] | {"data_set": run["data_set"]}
            self.kernels = run.get("kernels", {})
        except (OSError, ValueError, KeyError, TypeError):
            raise BadInput(f"{self.path} holds no run to resume: give the folder of one with --out") from None
        now = json.loads(json.dumps(self.configuration | {"data_set": self.data_set}))
        for name in now | before:
            if now.get(name) != before.get(name):
                raise BadInput(
                    f"cannot resume with {name}={now.get(name)!r}, the run was started with {before.get(name)!r}: "
                    "give the options of the first start"
                )

    @property
    def client_states(self) -> Path:
        """Where the pool may keep what clients remember between rounds: not for this side to read."""
        return self._checkpoint_folder / "clients"

    @property
    def unused(self) -> bool:
        """Whether nothing is lost with it: a new run that never came to the end of a round."""
        return not self._resume and not self._checkpoints

    @property
    def resumable(self) -> list[int]:
        """The rounds whose checkpoints are kept."""
        return [_round_of(path) for path in self._checkpoints]

    def begin(self) -> Transcript:
        """Create the folder, start its log and transcript, and say in run.json that the run is on its way."""
        self._began = time.perf_counter()
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_outcome({"state": "running"})  # first: from here on the run can be resumed
        self._waited = time.perf_counter() - self._began  # for the disk, so far
        self._checkpoint_folder.mkdir(exist_ok=True)
        self._checkpoints = sorted(self._checkpoint_folder.glob("round-*.safetensors"), key=_round_of)
        mark_records()
        self._log = _RunLog(self.path / "run.log", encoding="utf-8")
        self._log.setFormatter(logging.Formatter(LOG_FORMAT))
        logging.getLogger().addHandler(self._log)
        return Transcript(self.path, self._record, self._transcript)

    def end(self) -> None:
        logging.getLogger().removeHandler(self._log)
        self._log.close()

    def discard(self) -> None:
        """Remove what `begin` made."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write_outcome(self, outcome: dict[str, Any]) -> None:
        run = {
            "configuration": self.configuration,
            "seed": self.configuration.get("seed"),
            "data_set": self.data_set,
            "versions": _versions(),
            "kernels": self.kernels,
            "outcome": outcome,
        }
        write_atomic(self.path / "run.json", json.dumps(run, indent=2).encode() + b"\n")

    def write_model(self, state: dict[str, np.ndarray]) -> None:
        write_atomic(self.path / "model.safetensors", model_bytes(state))

    def keep(
        self, record: RoundRecord, arrays: dict[str, np.ndarray], model: Callable[[], dict[str, np.ndarray]]
    ) -> None:
        """Enter a round, and keep all that the next one needs in one file; now and then the model's own file too."""
        began = time.perf_counter()
        path = self._checkpoint_folder / f"round-{record.round:06d}.safetensors"
        with line_added(self._metrics, json.dumps(record.to_dict())):
            write_atomic(path, save(arrays, {"crc32": _checksum(arrays)}), sync=False)
        self._checkpoints.append(path)
        if self._waited <= SYNC_SHARE * (began - self._began):
            self.sync()
            self.write_model(model())
            self._waited += time.perf_counter() - began
        self._remove_old()

    def sync(self) -> None:
        """Force the last checkpoint to the disk, after all that it goes on from."""
        if not self._checkpoints or self._forced == self._checkpoints[-1]:
            return
        if self.client_states.exists():
            os.sync()  # what clients remember: a file for each
        force(self._metrics)
        force(self._checkpoints[-1])
        force(self._checkpoint_folder)
        self._forced = self._checkpoints[-1]
        self._remove_old()

    def _remove_old(self) -> None:
        for old in [path for path in self._checkpoints[:-KEPT_CHECKPOINTS] if path != self._forced]:
            old.unlink(missing_ok=True)
            self._checkpoints.remove(old)

    def read_checkpoint(self) -> tuple[dict[str, np.ndarray], list[RoundRecord]] | None:
        """Arrays of the newest whole checkpoint of a resumed run, and the records up to it; None where there is none.

        What came after it is removed: those rounds are run again.
        """
        lines = self._metrics.read_bytes().splitlines(keepends=True) if self._metrics.exists() else []
        while self._checkpoints:
            path = self._checkpoints[-1]
            behind = lines[: _round_of(path)]
            try:
                kept = _read_arrays(path), _read_records(behind, _round_of(path))
            except (SafetensorError, OSError, ValueError, KeyError, TypeError):
                logging.getLogger(__name__).warning("checkpoint %s cannot be read, trying the one before", path.name)
                self._checkpoints.pop().unlink()
            else:
                os.truncate(self._metrics, sum(map(len, behind)))
                self.sync()  # which one was forced to the disk nobody knows any more
                return kept
        self._metrics.unlink(missing_ok=True)
        return None


def _round_of(checkpoint: Path) -> int:
    return int(checkpoint.stem.removeprefix("round-"))


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    check = 0
    for name, array in sorted(arrays.items()):
        check = crc32(np.ascontiguousarray(array).data, crc32(name.encode(), check))
    return f"{check:08x}"


def _read_arrays(checkpoint: Path) -> dict[str, np.ndarray]:
    with safe_open(checkpoint, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if file.metadata()["crc32"] != _checksum(arrays):
            raise ValueError("damaged")
    return arrays


def _read_records(lines: list[bytes], count: int) -> list[RoundRecord]:
    records = [RoundRecord.from_dict(json.loads(line)) for line in lines]
    if [record.round for record in records] != [*range(1, count + 1)] or not lines[-1].endswith(b"\n"):
        raise ValueError("incomplete")
    return records


@cache
def _versions() -> dict[str, str]:
    packages = ("fedlearn", "numpy", "phe", "gmpy2")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def model_bytes(state: dict[str, np.ndarray]) -> bytes:
    """A model's state dict as the bytes of a safetensors file."""
    return save({name: np.ascontiguousarray(array) for name, array in state.items()})


def model_sha256(state: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(model_bytes(state)).hexdigest()
