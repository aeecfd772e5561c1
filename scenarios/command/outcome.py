"""The report of a scenario: an outcome with the figures that it states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from aggregator import History, RunFolder
from fedlearn.models.base import Model
from scenarios.command.options import Options
from scenarios.learning import draw_learning

MOST_DELTA = 0.01  # above it a promise is hardly worth its name


@dataclass
class Claim:
    """One figure that a scenario states, under the name that its documentation uses."""

    name: str
    value: float
    unit: str = ""


@dataclass
class Outcome:
    """The report of a scenario. claims: the figures it states; story: its last words to the user.

    recorded_bytes: as in a `History`.
    listed: True where people are shown the claims; not where the story has all of them, in tables.
    """

    run_dir: Path
    seed: int
    rounds: int
    metrics: dict[str, float] = field(default_factory=dict)
    model_sha256: str = ""
    seconds: float = 0.0
    bytes_up: int = 0
    bytes_down: int = 0
    claims: list[Claim] = field(default_factory=list)
    story: str = ""
    configuration: Mapping[str, Any] = field(default_factory=dict)
    listed: bool = True
    recorded_bytes: int = 0

    @classmethod
    def of(cls, history: History, options: Options, folder: RunFolder, claims: list[Claim], story: str) -> Self:
        """The outcome of a federation, which leaves a picture of its learning. claims: others are added to them.

        There is no picture where nobody watches (`--quiet`): a small run takes less time than its picture, which a
        report draws later.
        """
        if options.trackers:
            how = f"strategy {options.strategy}, protection {options.protection}, seed {options.seed}"
            draw_learning(folder.path, history.rounds, f"{folder.configuration.get('scenario', '')}: {how}")
        if history.error_bound is not None:
            claims = [*claims, Claim("error_bound", history.error_bound)]
        simulated = [record.simulated_seconds for record in history.rounds if record.simulated_seconds is not None]
        if simulated:
            lost = sum(record.clients_failed for record in history.rounds)
            claims = [*claims, Claim("simulated_seconds", sum(simulated), "s"), Claim("clients_lost", lost)]
        if history.privacy:
            claims, story = [*claims, *_spent(history.privacy)], f"{_promise(history.privacy)}\n{story}"
        best = history.best
        if best is not None:
            claims = [*claims, Claim("best_round", best.round), Claim(f"best_{best.metric}", best.value)]
            stopped = f"; the run stopped, {history.stopped}" if history.stopped else ""
            said = (
                f"The best {best.metric}, {best.value:.4f}, was after round {best.round}: {folder.best_model}{stopped}."
            )
            story = f"{said}\n{story}"
        return cls(
            folder.path, options.seed, len(history.rounds), history.metrics, history.model_sha256,
            history.seconds, history.bytes_up, history.bytes_down, claims, story, folder.configuration,
            recorded_bytes=history.recorded_bytes,
        )  # fmt: skip

    def to_dict(self, scenario: str) -> dict[str, Any]:
        """Plain values, without the story; of the configuration what is at hand."""
        values = asdict(self) | {"run_dir": str(self.run_dir)}
        values.pop("story")
        values.pop("listed")
        values["configuration"] = {name: value for name, value in self.configuration.items() if value not in (None, "")}
        return {"scenario": scenario} | values


def bytes_per_weight(history: History, model: Model) -> float:
    """The bytes that a client sends in a round, by the number of the model's weights."""
    updates = sum(record.clients_ok for record in history.rounds)
    return history.bytes_up / max(1, updates) / max(1, model.vector.size)


def _spent(privacy: Mapping[str, Any]) -> list[Claim]:
    known = privacy["epsilon_aggregator"]
    of = "" if privacy["unit"] == "client" else f"_{privacy['unit']}"
    figures = {f"epsilon{of}": privacy["epsilon"], "privacy_delta": privacy["delta"]}
    figures |= {f"epsilon_aggregator{of}": known} if isinstance(known, float) else {}
    return [Claim(name, value) for name, value in figures.items()]


def _promise(privacy: Mapping[str, Any]) -> str:
    """The promise of a run's noise, in words, and to whom it is made."""
    if privacy["insecure"]:
        return "INSECURE: noise and cohorts follow from a seed that anybody can know, so this run promises nothing."
    known, delta = privacy["epsilon_aggregator"], privacy["delta"]
    unit = privacy["unit"]
    said = (
        f"Who sees the models learns of one {unit} no more than epsilon {privacy['epsilon']:.2f} (delta {delta:.2g}); "
    )
    said += f"the aggregator {known:.2f}." if isinstance(known, float) else "the aggregator saw it without noise."
    if unit == "example":
        said += " Of all that a client holds it promises less, the more examples these are."
    if delta > MOST_DELTA:
        said += f" With a probability of {delta:.2g} that does not hold: there are too few {unit}s for more."
    return said
