"""A sweep's folder: a folder for each run, `sweep.json`, which says what they are, and the tables."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from fedlearn.disk import strict_json, write_atomic
from fedlearn.errors import BadInput
from fedlearn.untrusted import are_numbers, content, escaped, from_json
from scenarios.command.options import NOT_CONFIGURATION
from scenarios.sweep.grid import Run
from scenarios.sweep.jobs import Ended, Job
from scenarios.sweep.table import FORMATS, Row, row

SWEEP_JSON = "sweep.json"
DONE = "done"


class SweepFolder:
    """The folder of a sweep's runs. Raises `BadInput` for a folder that holds anything else.

    The grid may grow, by another seed or value; a run that is there must be of the same options.
    """

    def __init__(self, path: Path, scenario: str, runs: Sequence[Run]):
        self.path = path
        self.scenario = scenario
        self.runs = runs
        self._listed = self._read()
        for run in runs:
            before = self._listed.get(run.folder)
            if before is not None and before != _decides(run.texts):
                raise BadInput(f"{path / run.folder} is a run with other options: give another --out, or the same ones")

    def _read(self) -> dict[str, Any]:
        """The runs that a sweep in this folder was of, with their options."""
        file = self.path / SWEEP_JSON
        if not self.path.exists():
            return {}
        if not self.path.is_dir():
            raise BadInput(f"{self.path} is a file: give a folder with --out")
        if not file.is_file():
            if any(self.path.iterdir()):
                raise BadInput(f"{self.path} is not empty and holds no sweep: give another --out")
            return {}
        try:
            result = from_json(content(file))
            scenario, listed = result["scenario"], dict(result["runs"])
        except (OSError, ValueError, KeyError, TypeError):
            raise BadInput(f"{file} cannot be read: give another --out") from None
        if scenario != self.scenario:
            raise BadInput(f"{self.path} holds a sweep of {escaped(scenario)}: give another --out")
        return listed

    @cached_property
    def waiting(self) -> list[int]:
        """Numbers of the runs that are not done."""
        return [number for number, run in enumerate(self.runs) if self._outcome(run).get("state") != DONE]

    def jobs(self) -> Iterator[Job]:
        """The jobs that are left; a run that was begun goes on."""
        for number in self.waiting:
            run = self.runs[number]
            folder = self.path / run.folder
            yield Job(number, self.scenario, dict(run.texts), folder, (folder / "run.json").exists())

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Say what the runs are before the first begins, and write the tables when they end, however they do."""
        self.path.mkdir(parents=True, exist_ok=True)
        listed = self._listed | {run.folder: _decides(run.texts) for run in self.runs}
        content = {"scenario": self.scenario, "runs": listed}
        write_atomic(self.path / SWEEP_JSON, strict_json(content, indent=2).encode() + b"\n")
        try:
            yield
        finally:
            rows = self.rows()
            for name, write in FORMATS.values():
                write_atomic(self.path / name, write(rows).encode())
            write_atomic(self.path / "runs.csv", self._runs_csv().encode())

    def _outcome(self, run: Run) -> dict[str, Any]:
        try:
            outcome = from_json(content(self.path / run.folder / "run.json"))["outcome"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        figures = {name: outcome.get(name) for name in ("bytes_up", "seconds")} if isinstance(outcome, dict) else None
        if figures is None or not all(
            map(are_numbers, (figures, outcome.get("metrics", {}), outcome.get("claims", {})))
        ):
            return {}
        return dict(outcome)

    def figures(self, run: Run) -> dict[str, float]:
        """Read what came out of a run that is done: its metrics, what a story claims, MB sent up, seconds."""
        outcome = self._outcome(run)
        if outcome.get("state") != DONE:
            return {}
        found = outcome.get("metrics", {}) | outcome.get("claims", {})
        if outcome.get("bytes_up"):
            found["MB up"] = outcome["bytes_up"] / 1e6
        found["seconds"] = outcome.get("seconds")
        return {name: math.nan if value is None else float(value) for name, value in found.items()}

    def rows(self) -> list[Row]:
        """A row for each configuration."""
        grouped = groupby(self.runs, key=lambda run: run.varied)
        return [row(varied, [found for run in runs if (found := self.figures(run))]) for varied, runs in grouped]

    def _runs_csv(self) -> str:
        """Every run in a line."""
        found = [self.figures(run) for run in self.runs]
        names = list(dict.fromkeys(name for figures in found for name in figures))
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        options = list(self.runs[0].varied)
        writer.writerow([*(name.rstrip("_") for name in options), "seed", "folder", *names])
        for run, figures in zip(self.runs, found, strict=True):
            writer.writerow([*run.varied.values(), run.seed, run.folder, *(figures.get(name, "") for name in names)])
        return out.getvalue()

    def to_dict(self, ended: Sequence[Ended]) -> dict[str, Any]:
        """Plain values, for programs. ended: the runs of this session."""
        failures = {each.number: each.failure for each in ended if each.failure}
        runs = [
            {
                "run_dir": str(self.path / run.folder),
                **{name.rstrip("_"): value for name, value in run.varied.items()},
                "seed": run.seed,
                "figures": self.figures(run),
                "failure": failures.get(number),
            }
            for number, run in enumerate(self.runs)
        ]
        table = [
            {"varied": dict(each.varied), "runs": each.runs, "figures": {n: vars(f) for n, f in each.figures.items()}}
            for each in self.rows()
        ]
        found = {"scenario": self.scenario, "sweep_dir": str(self.path), "runs": runs, "table": table}
        plain: dict[str, Any] = json.loads(strict_json(found))
        return plain


def _decides(texts: Mapping[str, str]) -> dict[str, str]:
    """The options that decide a run's numbers."""
    return {name: value for name, value in texts.items() if name not in NOT_CONFIGURATION}
