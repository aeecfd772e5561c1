"""A run's folder on disk. Everything in it is whole at any moment: files are written beside and renamed.

run.json (configuration, versions, seed, data, outcome), metrics.jsonl (a line a round), model.safetensors, with --watch
best.safetensors, transcript.jsonl (with --record also payloads.bin), run.log, checkpoint/
(`aggregator/checkpoints.py`), and clients.log, which the clients' side writes and this side does not read. Where a
strategy has clients keep state, they do so in checkpoint/clients/, before the checkpoint of the round that it came of
is written.

Forcing a checkpoint to the disk takes time. So that is done as often as a twentieth of the run's time allows, and at
the end.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import platform
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from aggregator.checkpoints import Checkpoint, Checkpoints, Shelf
from aggregator.history import RoundRecord
from aggregator.journal import Journal
from aggregator.runlog import logged
from fedlearn.children import signals_later
from fedlearn.disk import alone_in, at_home, beside, strict_json, write_atomic
from fedlearn.errors import BadInput, FedlearnError
from fedlearn.installed import installed_version
from fedlearn.modelfile import WEIGHTS, model_bytes
from fedlearn.nn import Module
from fedlearn.numerics import differences, environment
from fedlearn.protocol import Transcript
from fedlearn.protocol.transcript import check_mode
from fedlearn.untrusted import check_ordinary, content, from_json
from fedlearn.wording import many

LARGEST = 2**24  # bytes of a run.json
SYNC_SHARE = 0.05  # of a run's time, for waiting until something is on the disk

_log = logging.getLogger(__name__)


class RunFolder:
    """The folder of one run. Nothing is on disk before it is `opened`.

    configuration: what decides the run's numbers, seed included; a run is resumed with the same one only.
    data_set: name and SHA-256 of what was trained on.
    record: keep the transcript's payloads. transcript: its mode, "full" or "digest".
    files: others to keep in it, by name. description: of its model, for the metadata of the model's file
    (`fedlearn.modelfile.described`). strict_bits: a run is not resumed where it may get other bits.

    kernels: how the recurrent layers of a resumed run compute (`KernelPlan.to_dict()`); empty for a new one.
    """

    def __init__(
        self,
        path: str | Path,
        configuration: Mapping[str, Any],
        data_set: Mapping[str, Any],
        *,
        record: bool = False,
        resume: bool = False,
        transcript: str = "full",
        files: Mapping[str, bytes] = MappingProxyType({}),
        description: bytes = b"",
        strict_bits: bool = False,
    ):
        check_mode(transcript)
        self.path = path = at_home(path)
        self.configuration = configuration
        self.data_set = data_set
        self.kernels: Mapping[str, Any] = {}
        self._strict_bits = strict_bits
        self._machines: list[Mapping[str, Any]] = []
        self._run_json = path / "run.json"
        self._checkpoints = Checkpoints(path / "checkpoint", path / "metrics.jsonl")
        self._record = record
        self._resume = resume
        self._transcript = transcript
        self._files = files
        self._description = description
        self._check()

    def _check(self) -> None:
        """Raise `BadInput` unless the folder is new, or holds a run that can be resumed so."""
        if self._resume:
            check_ordinary(self.path)
            self.kernels = self._check_same_configuration()
        elif self.path.exists() and not self.path.is_dir():
            raise BadInput(f"run folder {self.path} is a file: give another one")
        elif self.path.exists() and not self._is_unused():
            more = ", or resume=True to go on with that run" if self.begun else ""
            raise BadInput(f"run folder {self.path} is not empty: give another one{more}")

    def _is_unused(self) -> bool:
        """True if it holds nothing, or only files of a run that died before it began or that its clients refused."""
        left = {self.clients_log, beside(self._run_json), *(self.path / name for name in self._files)}
        return left.issuperset(self.path.iterdir())

    def _check_same_configuration(self) -> Mapping[str, Any]:
        """Raise `BadInput` unless the run was started as it is resumed; returns its kernels."""
        try:
            run = from_json(content(self._run_json, LARGEST))
            before = run["configuration"] | {"data_set": run["data_set"]}
            kernels: Mapping[str, Any] = dict(run.get("kernels", {}))
            self._machines = [machine for machine in run.get("numerics", []) if isinstance(machine, Mapping)]
            rounds = float(before.get("rounds") or math.inf)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
            raise BadInput(f"{self.path} holds no run to resume: give the folder of one") from None
        now = json.loads(strict_json({**self.configuration, "data_set": self.data_set}))
        for name in now | before:
            if name == "rounds" and (now.get(name) or 0) > rounds:
                continue  # a run may go on for longer than it was meant to
            if now.get(name) != before.get(name):
                raise BadInput(
                    f"cannot resume with {name}={now.get(name)!r}, the run was started with {before.get(name)!r}: "
                    "give the options of the first start"
                )
        return kernels

    @property
    def begun(self) -> bool:
        """True if there is a run in it that could be resumed."""
        return self._run_json.exists()

    @property
    def resumed(self) -> bool:
        """True if it goes on with the run of an earlier session."""
        return self._resume

    @property
    def client_states(self) -> Path:
        """The folder in which the pool may keep what clients remember between rounds: not for this side to read."""
        return self._checkpoints.client_states

    @property
    def openers_memory(self) -> Path:
        """The folder in which openers may keep what they opened, over all sessions: not for this side to read."""
        return self._checkpoints.openers_memory

    @property
    def clients_log(self) -> Path:
        """The file in which clients under a protection say what only they may know: not for this side to read."""
        return self.path / "clients.log"

    @property
    def journal(self) -> Journal:
        """Which sums were asked for, and what was opened."""
        return self._checkpoints.journal

    def make_survey(self) -> Shelf:
        """Make the folder of a survey of clients, if there is none; returns the files by which it goes on."""
        return self._checkpoints.make_survey(self.clients_log)

    @property
    def rounds_done(self) -> int:
        """The last round of an earlier session, 0 of a new run."""
        return self._checkpoints.last if self._resume else 0

    @property
    def resumable(self) -> list[int]:
        """The rounds whose checkpoints are kept."""
        return self._checkpoints.rounds

    @contextmanager
    def opened(self, kernels: Mapping[str, Any] | None = None) -> Iterator[Transcript]:
        """Create the folder, keep log and transcript in it meanwhile, and have run.json say how the run ended.

        kernels: how the run's recurrent layers compute (`KernelPlan.to_dict()`). A new run that bad input ends
        before its first round is kept leaves no folder, or one with clients.log alone. Raises `BadInput` where another
        process writes in the folder.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with alone_in(self.path):
            self._check()  # again: another process may have come first
            with self._kept(kernels) as transcript:
                yield transcript

    @contextmanager
    def _kept(self, kernels: Mapping[str, Any] | None) -> Iterator[Transcript]:
        self.kernels = kernels or self.kernels
        self._began = time.perf_counter()
        if not self._resume:
            self.clients_log.unlink(missing_ok=True)  # of another run
        changes = self._enter_machine()
        for name, data in self._files.items():
            write_atomic(self.path / name, data)
        error: BaseException | None = None
        try:
            self.write_outcome({"state": "running"})  # from here on the run can be resumed, of all that stands by now
            self._waited = time.perf_counter() - self._began  # for the disk, so far
            self._checkpoints.open()
            with logged(self.path / "run.log"):
                if changes:
                    _log.warning("bits may change with this session, which computes otherwise: %s", "; ".join(changes))
                with closing(Transcript(self.path, self._record, self._transcript)) as transcript:
                    yield transcript
        except BaseException as raised:
            error = raised
            raise
        finally:
            if self.begun:
                # On a full disk this fails too; the error to report is the one that ended the run.
                with signals_later(), nullcontext() if error is None else suppress(OSError):
                    self._checkpoints.force()
                    self._say_how_it_ended(error)

    def _enter_machine(self) -> list[str]:
        """Record what decides the bits of this session; returns what differs from the session before."""
        here = environment()
        changes = differences(here, self._machines[-1]) if self._machines else []
        if changes and self._strict_bits:
            raise BadInput(
                f"the run in {self.path} began where bits may be others: {'; '.join(changes)}; "
                "go on there, or without strict_bits"
            )
        if changes or not self._machines:
            self._machines.append(here)
        return changes

    def _say_how_it_ended(self, error: BaseException | None) -> None:
        if isinstance(error, BadInput) and not self._resume and not self.resumable:
            self._remove()
        elif isinstance(error, KeyboardInterrupt):
            self.write_outcome({"state": "interrupted"})
        elif error is not None:
            self.write_outcome({"state": "failed", "reason": f"{type(error).__name__}: {error}"})

    def _remove(self) -> None:
        """Leave nothing, but for what clients said of why they refuse."""
        with suppress(OSError):  # an error of its own would hide the refusal
            for path in self.path.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif path != self.clients_log:
                    path.unlink()
            self.path.rmdir()  # which fails where clients.log stays, or the path is a link

    def write_outcome(self, outcome: Mapping[str, Any]) -> None:
        run = {
            "configuration": self.configuration,
            "seed": self.configuration.get("seed"),
            "data_set": self.data_set,
            "versions": _versions(),
            "numerics": self._machines,
            "kernels": self.kernels,
            "outcome": outcome,
        }
        write_atomic(self._run_json, _laid_out(run))

    def write_model(self, state: dict[str, np.ndarray]) -> None:
        write_atomic(self.path / WEIGHTS, self.model_bytes(state))

    def model_bytes(self, state: Mapping[str, np.ndarray]) -> bytes:
        """The bytes of model.safetensors for a model of this state dict."""
        return model_bytes(state, self._description)

    def write_answer(self, answer: Mapping[str, Any]) -> None:
        """Write what a query found, in the place of a model."""
        write_atomic(self.path / "answer.json", _laid_out(answer))

    @property
    def best_model(self) -> Path:
        """The file of the model that was best by the metric that is watched."""
        return self.path / "best.safetensors"

    def write_best(self, state: dict[str, np.ndarray]) -> None:
        write_atomic(self.best_model, self.model_bytes(state), sync=False)

    def keep(
        self,
        record: RoundRecord,
        weights: np.ndarray,
        state: dict[str, np.ndarray],
        model: Callable[[], dict[str, np.ndarray]] | None,
    ) -> None:
        """Enter a round, and keep all that the next one needs in one file; now and then the model's own file too.

        model: None where there is none.
        """
        began = time.perf_counter()
        self._checkpoints.add(record, weights, state)
        if self._waited <= SYNC_SHARE * (began - self._began):
            self._checkpoints.force()
            if model is not None:
                self.write_model(model())
            self._waited += time.perf_counter() - began
        self._checkpoints.remove_old()

    def read_checkpoint(self, weights: int | None = None) -> Checkpoint | None:
        """The checkpoint that a resumed run goes on from, or None; `BadInput` for one of other than so many weights."""
        found = self._checkpoints.newest()
        if found is not None and weights not in (None, found.weights.size):
            fault = (
                f"the run in {self.path} trains {many(found.weights.size, 'weight')}, and this model has {weights:,}"
            )
            raise BadInput(f"{fault}: give a model like that of the first start")
        return found


def _laid_out(value: Mapping[str, Any]) -> bytes:
    return strict_json(value, indent=2).encode() + b"\n"


@cache
def _versions() -> dict[str, str]:
    packages = ("fedlearn", "numpy", "phe", "gmpy2")
    found = {name: installed_version(name) for name in packages}
    return {"python": platform.python_version()} | {name: number for name, number in found.items() if number}


def model_sha256(model: Module, folder: RunFolder | None = None) -> str:
    """The hash of model.safetensors, as it stands in this folder."""
    state = model.state_dict()
    return hashlib.sha256(folder.model_bytes(state) if folder else model_bytes(state)).hexdigest()


@contextmanager
def saying_how_to_resume(folder: RunFolder | None) -> Iterator[None]:
    """Meanwhile an interruption, or an error of the system (a full disk), says how to go on with the run."""
    try:
        yield
    except (KeyboardInterrupt, OSError) as error:
        if folder is None or not folder.begun:
            raise
        how = f"go on with resume=True in {shlex.quote(str(folder.path))}"
        if isinstance(error, OSError):
            raise FedlearnError(f"the run cannot go on: {error}; mend that, then {how}") from error
        error.add_note(how)
        raise
