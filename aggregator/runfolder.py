"""A run's folder on disk. Everything in it is whole at any moment: files are written beside and renamed.

run.json (configuration, versions, seed, data, outcome), metrics.jsonl (a line a round), model.safetensors,
transcript.jsonl (with --record also payloads.bin), run.log, checkpoint/. Where a strategy has clients keep state, they
do so in checkpoint/clients/, before the checkpoint of the round that it came of is written.

Every round ends with a checkpoint that survives the death of the process. To survive a power cut it must also be
forced to the disk, which takes milliseconds, longer than a round of small clients: so that is done as often as a
twentieth of the run's time allows, and at the end. The last checkpoint that was is kept until the next one is.
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

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from aggregator.history import RoundRecord
from fedlearn.errors import BadInput
from fedlearn.logs import mark_records
from fedlearn.protocol import Transcript
from fedlearn.protocol.transcript import check_mode

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s [client %(client)s, round %(round)s] %(message)s"
KEPT_CHECKPOINTS = 2
SYNC_SHARE = 0.05  # of a run's time, for waiting until a checkpoint is on the disk


def write_atomic(path: Path, data: bytes, sync: bool = True) -> None:
    """Write `data` so that `path` holds either what it held before or all of it, whenever the process dies.

    sync: also if the machine does. Where it cannot be written (a full disk), nothing half-written stays.
    """
    beside = path.with_name(path.name + ".tmp")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def append_line(path: Path, line: str) -> None:
    """Append a line, or nothing where all of it cannot be written."""
    with open(path, "ab", buffering=0) as file:
        before = file.tell()
        data = line.encode() + b"\n"
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            file.truncate(before)
            raise


class _RunLog(logging.FileHandler):
    """Where the log cannot be written nor can a checkpoint, and that is what ends the run and is told."""

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
        self._record = record
        self._resume = resume
        self._transcript = transcript
        self._checkpoints: list[Path] = []
        self._rows: list[str] = []
        self._synced: Path | None = None
        self._syncing = 0.0
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
        except (OSError, ValueError, KeyError):
            raise BadInput(f"{self.path} holds no run to resume: give the folder of one with --out") from None
        now = json.loads(json.dumps(self.configuration | {"data_set": self.data_set}))
        for name in now:
            if now[name] != before.get(name):
                raise BadInput(
                    f"cannot resume with {name}={now[name]!r}, the run was started with {before.get(name)!r}: "
                    "give the options of the first start"
                )

    @property
    def clients(self) -> Path:
        """Where the pool may keep what clients remember between rounds: not for this side to read."""
        return self.path / "checkpoint" / "clients"

    @property
    def resumable(self) -> list[int]:
        """The rounds whose checkpoints are kept."""
        return [int(path.stem.removeprefix("round-")) for path in self._checkpoints]

    def begin(self) -> Transcript:
        """Create the folder, start its log and transcript, and say in run.json that the run is on its way."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_outcome({"state": "running"})  # first: from here on the run can be resumed
        (self.path / "checkpoint").mkdir(exist_ok=True)
        self._checkpoints = sorted((self.path / "checkpoint").glob("round-*.safetensors"))
        self._began = time.perf_counter()
        mark_records()
        self._log = _RunLog(self.path / "run.log", encoding="utf-8")
        self._log.setFormatter(logging.Formatter(LOG_FORMAT))
        logging.getLogger().addHandler(self._log)
        return Transcript(self.path, self._record, self._transcript)

    def end(self) -> None:
        logging.getLogger().removeHandler(self._log)
        self._log.close()

    def discard(self) -> None:
        """Remove what `begin` made: nothing half-written stays of a run that never came to a round."""
        if not self._resume:
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

    def restart(self, records: list[RoundRecord]) -> None:
        """Have metrics.jsonl hold these rounds, from which the run goes on, and no others."""
        self._rows = [json.dumps(record.to_dict()) for record in records]
        write_atomic(self.path / "metrics.jsonl", "".join(row + "\n" for row in self._rows).encode())

    def keep(
        self, record: RoundRecord, arrays: dict[str, np.ndarray], model: Callable[[], dict[str, np.ndarray]]
    ) -> None:
        """Enter a round, and keep all that the next one needs in one file; now and then the model's own file too."""
        self._rows.append(json.dumps(record.to_dict()))
        path = self.path / "checkpoint" / f"round-{record.round:06d}.safetensors"
        sync = self._syncing <= SYNC_SHARE * (time.perf_counter() - self._began)
        began = time.perf_counter()
        if sync:
            self._sync_clients()
        write_atomic(path, save(arrays, {"records": f"[{','.join(self._rows)}]"}), sync)
        append_line(self.path / "metrics.jsonl", self._rows[-1])
        self._checkpoints.append(path)
        if sync:
            self.write_model(model())
            self._syncing += time.perf_counter() - began
            self._synced = path
        self._remove_old()

    def sync(self) -> None:
        """Force the last checkpoint to the disk."""
        if self._checkpoints and self._synced != self._checkpoints[-1]:
            self._sync_clients()
            with open(self._checkpoints[-1], "rb") as file:
                os.fsync(file.fileno())
            self._synced = self._checkpoints[-1]
            self._remove_old()

    def _sync_clients(self) -> None:
        """Force what clients remember to the disk before the checkpoint that belongs to it."""
        if self.clients.exists():
            os.sync()

    def _remove_old(self) -> None:
        for old in [path for path in self._checkpoints[:-KEPT_CHECKPOINTS] if path != self._synced]:
            old.unlink(missing_ok=True)
            self._checkpoints.remove(old)

    def read_checkpoint(self) -> tuple[dict[str, np.ndarray], list[RoundRecord]] | None:
        """Arrays and records of the newest whole checkpoint of a resumed run, or None where there is none."""
        if not self._resume:
            return None
        for path in sorted((self.path / "checkpoint").glob("round-*.safetensors"), reverse=True):
            try:
                rows = json.loads(_metadata(path)["records"])
                return load_file(path), [RoundRecord.from_dict(row) for row in rows]
            except (SafetensorError, OSError, ValueError, KeyError):
                logging.getLogger(__name__).warning("checkpoint %s cannot be read, trying the one before", path.name)
        (self.path / "metrics.jsonl").unlink(missing_ok=True)  # of rounds that are run again
        return None


@cache
def _versions() -> dict[str, str]:
    packages = ("fedlearn", "numpy", "phe", "gmpy2")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return file.metadata()


def model_bytes(state: dict[str, np.ndarray]) -> bytes:
    """A model's state dict as the bytes of a safetensors file."""
    return save({name: np.ascontiguousarray(array) for name, array in state.items()})


def model_sha256(state: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(model_bytes(state)).hexdigest()
