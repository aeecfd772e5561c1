"""Run folders read back: what was configured, what each round recorded, how it ended; and their configurations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aggregator import RoundRecord
from clients.rounding import NAME as ROUNDING
from fedlearn.errors import BadInput, DataError
from fedlearn.untrusted import are_numbers, content, from_json

RUN_JSON = "run.json"


@dataclass(frozen=True)
class Run:
    """One run folder. run: the content of run.json; records: of its rounds, none of a story without any."""

    path: Path
    run: Mapping[str, Any]
    records: Sequence[RoundRecord]

    @classmethod
    def load(cls, path: Path) -> Run:
        """Raises `DataError` for a folder that holds no run, or one that cannot be read."""
        try:
            run = from_json(content(path / RUN_JSON))
            run.setdefault("versions", {})
            if not all(isinstance(run[part], dict) for part in ("configuration", "outcome", "data_set", "versions")):
                raise TypeError
            if not all(are_numbers(run["outcome"].get(part, {})) for part in ("metrics", "claims")):
                raise TypeError
            return cls(path, run, _records(path / "metrics.jsonl"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise DataError(f"{path} holds no run that can be read: give the folder of one") from None

    @property
    def configuration(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.run["configuration"]
        return found

    @property
    def outcome(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.run["outcome"]
        return found

    @property
    def scenario(self) -> str:
        return str(self.configuration.get("scenario", "a run from Python"))

    @property
    def protection(self) -> str:
        """Its name, without arguments."""
        chosen = self.configuration.get("protection") or "none"
        name = chosen.get("name", "none") if isinstance(chosen, Mapping) else str(chosen)
        return name.partition(":")[0]

    def rounding(self) -> float | None:
        """The largest error that rounding made in a mean, where the simulation measured it (`clients.rounding`).

        Raises `DataError` for a file that is damaged; nothing is read through a link.
        """
        file = self.path / ROUNDING
        if not file.is_file() or file.is_symlink():
            return None
        try:
            return max((float(from_json(line)["error"]) for line in content(file).decode().splitlines()), default=None)
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            raise DataError(f"{file} cannot be read: delete it") from None

    def figures(self) -> dict[str, float]:
        """Metrics after the last round, and what a story claims, as finite numbers."""
        found = {**self.outcome.get("metrics", {}), **self.outcome.get("claims", {})}
        if not found and self.records:
            last = self.records[-1]
            found = ({} if last.loss is None else {"loss": last.loss}) | last.metrics
        return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


@dataclass(frozen=True)
class Configuration:
    """Runs that differ by their seed only. label: what tells them from the other configurations."""

    label: str
    runs: Sequence[Run]

    @property
    def first(self) -> Run:
        return self.runs[0]

    def decides(self) -> dict[str, str]:
        """The options, as shown."""
        return {name: shown(value) for name, value in _without_seed(self.first).items()}


def shown(value: Any) -> str:
    return "-" if value is None or value == "" else str(value)


def rounded(value: Any) -> str:
    """A number that was computed, in four digits; anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def find(paths: Iterable[Path]) -> list[Run]:
    """The runs in these folders, each a run's own or one that holds some, as a sweep's.

    A run within the folder of another, as a story's, is left to that. Raises `BadInput` where there is none.
    """
    found: dict[Path, Run] = {}
    for path in paths:
        places = places_in(path)
        found |= {place.resolve(): Run.load(place) for place in places if place.resolve() not in found}
    return list(found.values())


def places_in(path: Path) -> list[Path]:
    """The folders of the runs in a folder, or that itself. Raises `BadInput` where there is none."""
    places = [path] if (path / RUN_JSON).is_file() else _below(path)
    if not places:
        raise BadInput(f"{path} holds no run: give the folder of a run, or one with such folders in it")
    return places


def _below(path: Path) -> list[Path]:
    places = sorted(file.parent for file in path.rglob(RUN_JSON)) if path.is_dir() else []
    return [place for place in places if not any(parent in places for parent in place.parents)]


def configurations(runs: Sequence[Run]) -> list[Configuration]:
    """Runs grouped by what they are configured to, in order of first appearance."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(_without_seed(run), sort_keys=True), []).append(run)
    differing = differences([_without_seed(group[0]) for group in groups.values()])
    return [Configuration(_label(group[0], differing), group) for group in groups.values()]


def differences(options: Sequence[Mapping[str, Any]]) -> list[str]:
    """The options that are not the same everywhere."""
    names = dict.fromkeys(name for each in options for name in each)
    return [name for name in names if any(each.get(name) != options[0].get(name) for each in options)]


def _without_seed(run: Run) -> dict[str, Any]:
    return {name: value for name, value in run.configuration.items() if name != "seed"}


def _label(run: Run, differing: Sequence[str]) -> str:
    parts = [f"{name} {shown(run.configuration.get(name))}" for name in differing if not name.endswith("_sha256")]
    return ", ".join(parts) or run.scenario


def _records(file: Path) -> list[RoundRecord]:
    """Of the rounds that are wholly written: of a run at work the last line may not be."""
    if not file.is_file():
        return []
    whole = [line for line in content(file).decode().splitlines(keepends=True) if line.endswith("\n")]
    return [RoundRecord.from_dict(from_json(line)) for line in whole]
