"""A run's folder on disk. Everything in it is whole at any moment: files are written beside and renamed.

run.json (configuration, versions, seed, data, outcome), metrics.jsonl (a line a round), model.safetensors,
transcript.jsonl (with --record also payloads.bin), run.log, checkpoint/.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
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

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s [client %(client)s, round %(round)s] %(message)s"
KEPT_CHECKPOINTS = 2


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either what it held before or all of it, also after a crash."""
    beside = path.with_name(path.name + ".tmp")
    with open(beside, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


class RunFolder:
    """Where one run's files go. Nothing is on disk before `begin`.

    configuration: what decides the run's numbers, seed included; a run is resumed with the same one only.
    data_set: name and SHA-256 of what was trained on.
    record: keep the transcript's payloads.
    """

    def __init__(
        self,
        path: Path,
        configuration: dict[str, Any],
        data_set: dict[str, Any],
        *,
        record: bool = False,
        resume: bool = False,
    ):
        self.path = path
        self.configuration = configuration
        self.data_set = data_set
        self._record = record
        self._resume = resume
        if resume:
            self._check_same_configuration()
        elif path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise BadInput(f"run folder {path} is not empty: give another one, or --resume to go on with that run")

    def _check_same_configuration(self) -> None:
        try:
            run = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            before = run["configuration"] | {"data_set": run["data_set"]}
        except (OSError, ValueError, KeyError):
            raise BadInput(f"{self.path} holds no run to resume: give the folder of one with --out") from None
        now = json.loads(json.dumps(self.configuration | {"data_set": self.data_set}))
        for name in now:
            if now[name] != before.get(name):
                raise BadInput(
                    f"cannot resume with {name}={now[name]!r}, the run was started with {before.get(name)!r}: "
                    "give the options of the first start"
                )

    def begin(self) -> Transcript:
        """Create the folder, start its log and transcript, and say in run.json that the run is on its way."""
        self.path.mkdir(parents=True, exist_ok=True)
        mark_records()
        self._log = logging.FileHandler(self.path / "run.log", encoding="utf-8")
        self._log.setFormatter(logging.Formatter(LOG_FORMAT))
        logging.getLogger().addHandler(self._log)
        self.write_outcome({"state": "running"})
        return Transcript(self.path, self._record)

    def end(self) -> None:
        logging.getLogger().removeHandler(self._log)
        self._log.close()

    def discard(self) -> None:
        """Remove what `begin` made: nothing half-written stays of a run that never came to a round."""
        if not self._resume:
            shutil.rmtree(self.path, ignore_errors=True)

    def write_outcome(self, outcome: dict[str, Any]) -> None:
        packages = ("fedlearn", "numpy", "phe", "gmpy2")
        versions = {"python": platform.python_version()} | {name: version(name) for name in packages}
        run = {
            "configuration": self.configuration,
            "seed": self.configuration.get("seed"),
            "data_set": self.data_set,
            "versions": versions,
            "outcome": outcome,
        }
        write_atomic(self.path / "run.json", json.dumps(run, indent=2).encode() + b"\n")

    def write_metrics(self, records: list[RoundRecord]) -> None:
        rows = "".join(json.dumps(record.to_dict()) + "\n" for record in records)
        write_atomic(self.path / "metrics.jsonl", rows.encode())

    def write_model(self, state: dict[str, np.ndarray]) -> None:
        write_atomic(self.path / "model.safetensors", model_bytes(state))

    def write_checkpoint(self, round: int, arrays: dict[str, np.ndarray], records: list[RoundRecord]) -> None:
        """Keep all that the next round needs in one file, and the last few such files."""
        folder = self.path / "checkpoint"
        folder.mkdir(exist_ok=True)
        rows = json.dumps([record.to_dict() for record in records])
        write_atomic(folder / f"round-{round:06d}.safetensors", save(arrays, {"records": rows}))
        for old in sorted(folder.glob("round-*.safetensors"))[:-KEPT_CHECKPOINTS]:
            old.unlink()

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
        return None


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return file.metadata()


def model_bytes(state: dict[str, np.ndarray]) -> bytes:
    """A model's state dict as the bytes of a safetensors file."""
    return save({name: np.ascontiguousarray(array) for name, array in state.items()})


def model_sha256(state: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(model_bytes(state)).hexdigest()
