"""Does the noise that a run claims protect? Clients that can be told apart say so, and catch builds that lie.

Every client is a canary: by a fair coin of its own it sends, whenever it is asked, the largest update that the clip
allows in a direction of its own, or zeros. Whoever guesses the coins from what a party saw, and is right too often,
has shown that epsilon is at least so much (Steinke, Nasr, Jagielski 2023). The same audit runs on three broken builds.

    fedlearn run dp_audit
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool
from clients.behaviours.base import Behaviour, Honest, with_delta
from fedlearn.datasets.bags import Bags
from fedlearn.models.spam import SpamClassifier
from fedlearn.privacy import Privacy, Terms
from fedlearn.privacy.accounting import AnalyticGaussian
from fedlearn.privacy.audit import Audit, audit, epsilon_at_least, scores_of_cohorts, scores_of_models
from fedlearn.protocol.transcript import ROWS
from fedlearn.seeding import stream
from fedlearn.strategies import FedAvg
from fedlearn.strategies.base import LocalUpdate
from fedlearn.wording import many
from scenarios.command import build
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.takes import for_story
from scenarios.story import Story, telling

TOO_LONG = 4  # times the clip, in the build that forgets it
TAKES = for_story(clients=1000, cohort=20, rounds=300, dp="noise=1,clip=1,delta=0.00001")


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    asked = build.privacy(options)
    assert asked is not None
    with telling("dp_audit", options, {"name": "canaries"}) as story:
        found = {name: _audited(story, options, asked, name) for name in story.steps(list(BUILDS), "builds")}
        honest = found["honest"]
        claims = [
            Claim("claimed", honest.claimed),
            Claim("cohorts_known", honest.known),
            *(Claim(f"audit_models_{name}", seen.models.epsilon) for name, seen in found.items()),
            *(Claim(f"audit_cohorts_{name}", seen.cohorts.epsilon) for name, seen in found.items()),
        ]
        lines = [
            f"{'':<14}{'claimed':>10}{'audit of models':>18}{'audit with cohorts known':>27}",
            *(
                f"{name:<14}{seen.claimed:>10.2f}{seen.models.epsilon:>18.2f}{seen.cohorts.epsilon:>27.2f}"
                + ("   caught" if seen.models.epsilon > seen.claimed else "")
                for name, seen in found.items()
            ),
            f"Who knows the cohorts is promised {honest.known:.2f} at most, and not the {honest.claimed:.2f}.",
            f"{many(honest.models.guesses, 'guess shows', 'guesses show')} "
            f"{_ceiling(honest.models.guesses, len(honest.members)):.2f} at most: an audit finds a claim false, and "
            "never shows that one is true.",
        ]
        return story.end("\n".join(lines), claims, rounds=options.rounds * len(BUILDS))


@dataclass(frozen=True, eq=False)
class Found:
    """The findings of an audit. claimed, known: epsilon for who sees the models, and for who knows the cohorts."""

    claimed: float
    known: float
    models: Audit
    cohorts: Audit
    members: np.ndarray


def _audited(story: Story, options: Options, asked: Privacy, name: str) -> Found:
    """Train under one build, and guess."""
    breaks, length = BUILDS[name]
    assert asked.clip is not None
    assert options.cohort is not None
    members = stream(options.seed, "scenario").random(options.clients) < 0.5
    people = [_canary(j, asked.clip * length * member) for j, member in enumerate(members.tolist())]
    model = SpamClassifier(options.clients, 1, rng=stream(options.seed, "model"))
    models = [model.vector[: options.clients].copy()]

    def watch(model: Any) -> dict[str, float]:
        models.append(model.vector[: options.clients].copy())
        return {}

    folder = RunFolder(story.path / name, build.configuration(options, f"dp_audit/{name}"), {"name": "canaries"})
    aggregator = Aggregator(
        model, FedAvg(epochs=1, batch_size=1, lr=0.1), "none",
        cohort=options.cohort, sampler="poisson", seed=options.seed, evaluate=watch, folder=folder, privacy=asked,
    )  # fmt: skip
    with breaks():
        history = aggregator.fit(InlinePool(people), options.rounds, progress=False)
    steps = np.diff(np.array(models, np.float64), axis=0) * options.cohort / asked.clip
    good = np.array([record.void is None for record in history.rounds])
    seen, took_part = steps[good], _cohorts(folder.path, len(history.rounds), options.clients)[good]
    terms = history.privacy
    delta = terms["delta"]
    return Found(
        history.rounds[-1].epsilon or 0.0,
        AnalyticGaussian(float(took_part.sum(axis=0).max()) ** 0.5 / terms["noise"]).epsilon(delta),
        audit(scores_of_models(seen, terms["rate"], terms["noise"]), members, delta),
        audit(scores_of_cohorts(seen, took_part), members, delta),
        members,
    )


@dataclass(frozen=True)
class Canary(Behaviour):
    """Sends `size` in direction number `place`, and nothing else, in the place of what training gave."""

    place: int
    size: float

    def update(self, update: LocalUpdate, honest: Honest) -> LocalUpdate:
        delta = np.zeros_like(update.vectors["delta"])
        delta[self.place] = self.size
        return with_delta(update, delta)


def _canary(place: int, size: float) -> Client:
    one_word = Bags(np.array([place], np.int32), np.array([0, 1]), np.zeros(1, np.float32))
    return Client(f"canary-{place}", one_word, behaviour=Canary(place, size))


def _cohorts(folder: Path, rounds: int, clients: int) -> np.ndarray:
    """The clients that were asked in each round, bool (rounds, clients), as the aggregator's transcript has it."""
    asked = np.zeros((rounds, clients), bool)
    with open(folder / ROWS, encoding="utf-8") as rows:
        for row in map(json.loads, rows):
            if row["type"] == "TrainRequest":
                asked[row["round"] - 1, int(row["to"].partition(":")[2])] = True
    return asked


def _ceiling(guesses: int, canaries: int) -> float:
    return epsilon_at_least(canaries, guesses, guesses, 0.0)


# What is wrong with a build, and how long updates are that its canaries send, in clips.


@contextmanager
def _whole() -> Iterator[None]:
    yield


def _less_noise(divisor: int) -> Callable[[], Any]:
    drawn = Terms.draw

    def draw(terms: Terms, length: int, round: int, whose: int | str) -> np.ndarray:
        return np.zeros(length, np.int64) if not divisor else drawn(terms, length, round, whose) // divisor

    return lambda: patch.object(Terms, "draw", draw)


def _no_clip() -> Any:
    def quantise(terms: Terms, updates: np.ndarray, coins: np.ndarray | None = None) -> np.ndarray:
        found: np.ndarray = np.rint(np.asarray(updates, np.float64) * (terms.steps / terms.clip)).astype(np.int64)
        return found

    return patch.object(Terms, "quantise", quantise)


BUILDS: dict[str, tuple[Callable[[], Any], float]] = {
    "honest": (_whole, 1),
    "quarter": (_less_noise(4), 1),
    "no_clip": (_no_clip, TOO_LONG),
    "no_noise": (_less_noise(0), 1),
}


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("dp_audit")
