"""`fedlearn privacy`: what noise costs in epsilon, and what noise an epsilon takes, before anything is trained."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlearn.errors import BadInput, PrivacyError
from fedlearn.wording import many

if TYPE_CHECKING:
    from fedlearn.privacy import Accountant, Release

ADJACENCIES = {
    "zero-out": "one client sends zeros instead of its update; who takes part is not hidden",
    "replace-one": "one client's update is exchanged for any other one",
}
SURE = 0.01  # chance that some client is in more sums than is said


def privacy(
    rate: Annotated[
        float | None, typer.Option(help="Chance of a client to be in a round, by a coin of its own.")
    ] = None,
    noise: Annotated[
        float | None, typer.Option(help="Standard deviation of a sum's noise, divided by the clip.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Sums that are opened.")] = 1,
    delta: Annotated[float | None, typer.Option(help="Default: clients^-1.1, where --clients is given.")] = None,
    epsilon: Annotated[float | None, typer.Option(help="Find the noise for this epsilon, instead of --noise.")] = None,
    cohort: Annotated[int | None, typer.Option(help="Clients drawn without replacement, instead of --rate.")] = None,
    clients: Annotated[int | None, typer.Option(help="How many there are.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line of output.")] = False,
) -> None:
    """Two epsilons by two accountants: for who sees the models only, and for who knows who took part.

    Nothing is trained. Full participation is --rate 1.
    """
    asked = _Question.of(rate, noise, rounds, delta, epsilon, cohort, clients)
    if asked.clients is not None and asked.delta >= 1 / asked.clients:
        typer.echo(
            f"warning: delta {asked.delta:g} is not below 1 / clients = {1 / asked.clients:g}: publishing one client's "
            "data as they are would pass for private",
            err=True,
        )
    answers = asked.answers()
    if as_json:
        typer.echo(json.dumps(asked.to_dict() | {"accountants": answers}))
    else:
        typer.echo("\n".join(_told(asked, answers)))


@dataclass(frozen=True)
class _Question:
    rate: float
    noise: float | None
    rounds: int
    delta: float
    epsilon: float | None
    sampling: str
    clients: int | None

    @classmethod
    def of(
        cls,
        rate: float | None,
        noise: float | None,
        rounds: int,
        delta: float | None,
        epsilon: float | None,
        cohort: int | None,
        clients: int | None,
    ) -> _Question:
        """The question, checked; raises `BadInput` naming the options as they are typed."""
        from fedlearn.privacy.limits import SMALLEST_DELTA, SMALLEST_NOISE

        if (noise is None) == (epsilon is None):
            raise BadInput("give --noise Z for its epsilon, or --epsilon E for its noise: one of them")
        if (rate is None) == (cohort is None):
            raise BadInput(
                "give --rate Q for coins of each client's own, or --cohort K and --clients N for a fixed size"
            )
        if cohort is not None and clients is None:
            raise BadInput(f"--cohort {cohort} needs to know of how many: give --clients N")
        if delta is None and clients is None:
            raise BadInput("--delta is missing: give it, below 1 / clients, or give --clients N for clients^-1.1")
        _within("--rounds", rounds, rounds >= 1, "at least 1")
        _within("--clients", clients, clients is None or clients >= 2, "at least 2")
        _within("--rate", rate, rate is None or 0 < rate <= 1, "above 0 and at most 1")
        _within("--cohort", cohort, cohort is None or 1 <= cohort <= (clients or 0), f"1 to --clients {clients}")
        least = f"at least {SMALLEST_NOISE:g} and finite"
        _within("--noise", noise, noise is None or SMALLEST_NOISE <= noise < math.inf, least)
        _within("--epsilon", epsilon, epsilon is None or 0 < epsilon < math.inf, "above 0 and finite")
        delta = clients**-1.1 if delta is None and clients is not None else delta
        assert delta is not None
        _within("--delta", delta, SMALLEST_DELTA <= delta < 1, f"at least {SMALLEST_DELTA:g} and below 1")
        fixed = cohort is not None and cohort != clients
        share = rate if cohort is None else cohort / (clients or 1)
        assert share is not None
        return cls(share, noise, rounds, delta, epsilon, "fixed" if fixed else "poisson", clients)

    @property
    def adjacency(self) -> str:
        return "replace-one" if self.sampling == "fixed" else "zero-out"

    @property
    def participations(self) -> int:
        """No client is in more sums, but for a chance of `SURE`; where the number of clients is not told, in all."""
        from scipy.stats import binom

        if self.rate == 1 or self.clients is None:
            return self.rounds
        return max(1, int(binom.isf(SURE / self.clients, self.rounds, self.rate)))

    def releases(self, noise: float) -> list[Release]:
        from fedlearn.privacy import Release

        whole = Release(self.rate, noise, self.rounds, "replace-one", "fixed")
        return [whole if self.sampling == "fixed" else replace(whole, adjacency="zero-out", sampling="poisson")]

    def answers(self) -> dict[str, dict[str, Any]]:
        """For each accountant noise, epsilon and epsilon_aggregator; or why it has no bound."""
        from fedlearn.privacy import ACCOUNTANTS

        return {name: self._answer(ACCOUNTANTS.load(name)()) for name in ACCOUNTANTS.entries}

    def _answer(self, accountant: Accountant) -> dict[str, Any]:
        from fedlearn.privacy import AnalyticGaussian

        if self.sampling == "fixed":
            try:
                accountant.epsilon(self.releases(1.0), self.delta)
            except PrivacyError as error:
                return {"refused": str(error)}
        noise = self.noise
        if noise is None:
            assert self.epsilon is not None
            noise = accountant.noise(self.epsilon, self.delta, self.releases)
        releases = self.releases(noise)
        known = AnalyticGaussian(math.sqrt(self.participations) / releases[0].relative_noise)
        return {
            "noise": noise,
            "epsilon": accountant.epsilon(releases, self.delta),
            "epsilon_aggregator": known.epsilon(self.delta),
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            "rate": self.rate,
            "sampling": self.sampling,
            "adjacency": self.adjacency,
            "rounds": self.rounds,
            "delta": self.delta,
            "participations": self.participations,
        }


def _within(name: str, value: float | None, fine: bool, limit: str) -> None:
    if not fine:
        raise BadInput(f"{name} {value:g}: it must be {limit}")


def _told(asked: _Question, answers: dict[str, dict[str, Any]]) -> list[str]:
    """The answers for people."""
    how = "drawn without replacement" if asked.sampling == "fixed" else "by coins of the clients' own"
    who = "every client in each" if asked.rate == 1 else f"a client in each with probability {asked.rate:g}, {how}"
    lines = [
        f"{'rounds':>12}  {asked.rounds}, {who}",
        f"{'adjacency':>12}  {asked.adjacency}: {ADJACENCIES[asked.adjacency]}",
        f"{'delta':>12}  {asked.delta:.4g}",
        "",
        f"{'':>12}  {'noise':>10}  {'epsilon':>10}  {'epsilon_aggregator':>18}",
    ]
    for name, answer in answers.items():
        if "refused" in answer:
            lines.append(f"{name:>12}  {answer['refused']}")
        else:
            numbers = answer["noise"], answer["epsilon"], answer["epsilon_aggregator"]
            lines.append(f"{name:>12}  {numbers[0]:>10.5g}  {numbers[1]:>10.5g}  {numbers[2]:>18.5g}")
    return [*lines, "", *_meaning(asked)]


def _meaning(asked: _Question) -> list[str]:
    in_all = asked.participations == asked.rounds
    sums = f"{'all' if in_all else f'at most {asked.participations} of'} {many(asked.rounds, 'sum')}"
    lines = ["epsilon is for who sees the models only."]
    if asked.rate < 1:
        lines[0] = "epsilon is for who sees the models only and cannot know who took part: the draws must be secret."
    lines.append(f"epsilon_aggregator is for who knows who took part: about a client in {sums}.")
    if asked.rate < 1 and asked.clients is None:
        lines.append("With --clients N it counts the sums that a client is really in.")
    elif not in_all:
        lines.append(f"Each of {asked.clients:,} is in no more, with a probability of {1 - SURE:.0%} for all of them.")
    return [*lines, "Who sees sums without noise learns them: no epsilon holds against it."]
