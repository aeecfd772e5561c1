"""A rule at work in a run: how cohorts are cut for it, what it is given in a round, and what the record keeps of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from aggregator.groups import RoundTask
from aggregator.journal import OpenedSum
from aggregator.robust.base import Beside, Rule
from fedlearn.errors import BadInput, RoundVoid
from fedlearn.groups import cut
from fedlearn.models.base import Model
from fedlearn.nn import init
from fedlearn.nn.spec import build
from fedlearn.protocol import ClientId
from fedlearn.sampling import Sampler
from fedlearn.secure.aggregate import Aggregate
from fedlearn.secure.base import Protection
from fedlearn.seeding import local_random, stream
from fedlearn.strategies.base import State, Strategy
from fedlearn.wording import many

log = logging.getLogger(__name__)
TRUSTED = 2**32 - 1  # the number by which the aggregator's own training is drawn: no client has it
KEPT = "robust_previous"  # in a run's state: what came out the round before
MOST_GROUPS = 1 << 16  # a message's header holds the number of a group


@dataclass(frozen=True)
class Choice:
    """The work of a rule in a round, for its record.

    rule     as it is written for --robust. f: how many malicious groups it was built for
    numbers  of the groups whose sums were opened. groups: their clients. left_out: the numbers of all others
    chosen   the places, in these lists, of those that a selecting rule took; None where it does not select
    norms    of the groups' means. scores: what the rule compared them by; None where it gives none
    """

    rule: str
    f: int
    numbers: list[int]
    groups: list[list[ClientId]]
    left_out: list[int]
    chosen: list[int] | None
    norms: list[float]
    scores: list[float] | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Defence:
    """A robust rule over the means of groups of so many clients each.

    cohort: clients of a usual round. strategy, model: for a rule that needs an update of the aggregator's own. Raises
    `BadInput` where the groups are too few for the rule and its f, where a rule without an f stands no malicious one
    among them, and where nothing can be compared.
    """

    rule: Rule
    group_size: int
    cohort: int
    strategy: Strategy | None = None
    model: Model | None = None

    def __post_init__(self) -> None:
        if self.groups < 2:
            raise BadInput(
                f"a cohort of {many(self.cohort, 'client')} cuts into one group of {self.group_size}: there is nothing "
                f"to compare; sample at least {many(2 * self.group_size, 'client')}, or lower group_size"
            )
        if self.groups > MOST_GROUPS:
            raise BadInput(
                f"a cohort of {self.cohort} cuts into {many(self.groups, 'group')}, at most {MOST_GROUPS:,}: cut fewer"
            )
        try:
            self.rule.malicious(self.groups)
        except BadInput as error:
            raise BadInput(f"{many(self.cohort, 'client')} in groups of {self.group_size}: {error}") from None
        if self.rule.f is None and self.f < 1:  # it would defend nobody; who wants that says f=0
            takes, more = self.rule.takes(1), ""
            if takes <= MOST_GROUPS:
                smaller = "lower group_size, " if self.group_size > 1 else ""
                more = (
                    f"it takes {takes} or more: sample at least {many(takes * self.group_size, 'client')}, {smaller}or "
                )
            raise BadInput(
                f"{many(self.cohort, 'client')} in groups of {self.group_size}: {self.rule} stands no malicious group "
                f"of {self.groups}: {more}take another rule"
            )

    @property
    def groups(self) -> int:
        """How many a usual cohort is cut into."""
        return max(1, self.cohort // self.group_size)

    @property
    def f(self) -> int:
        """How many malicious groups the rule is built for in a usual round."""
        return self.rule.malicious(self.groups)

    @cached_property
    def least(self) -> int:
        """The fewest groups that it takes."""
        return self.rule.takes(self.rule.f or 0, 2)

    def __str__(self) -> str:
        groups = f"{many(self.groups, 'group')} of {many(self.group_size, 'client')}"
        return f"{self.rule} over {groups} stands f={self.f} malicious"

    def check(self, protection: Protection, sampler: Sampler, strategy: Strategy, parameters: int) -> None:
        """Raise `BadInput` where groups could not be opened, or their means not be compared."""
        if self.rule.trusts and self.rule.data is None:
            raise BadInput(
                f"{self.rule} compares with an update that the aggregator trains on examples it trusts, and there are "
                "none: take a scenario with public data, or give them in Python, as robust=FLTrust(data=Arrays(X, y))"
            )
        if self.group_size < protection.min_cohort:
            raise BadInput(
                f"group_size is {self.group_size}, protection {protection.name} opens no sum of fewer than "
                f"{many(protection.min_cohort, 'client')}: raise group_size, or lower min_cohort knowingly"
            )
        if not sampler.public and not protection.fold_in_worker:
            raise BadInput(
                f"sampler {sampler.name} is not public, so that nobody could check who is in which group: "
                "take uniform or poisson"
            )
        sent = strategy.outputs(parameters)
        others = [name for name, output in sent.items() if output.length != parameters]
        if others:
            raise BadInput(
                f"strategy {strategy.name} sends {others[0]} beside the delta, which no distance makes sense of "
                "together: take another strategy, or leave robust out"
            )
        if len(sent) > 1 and not self.rule.by_coordinate:
            raise BadInput(
                f"strategy {strategy.name} sends {' and '.join(sent)}, whose units differ, and {self.rule} compares "
                "whole vectors, in which the longer one hides lies in the shorter: take trimmed, meamed or median"
            )

    def own_update(self, seed: int, task: RoundTask) -> np.ndarray:
        """The update that the rule's data give in a round, float32 (d,), trained as a client trains."""
        assert self.strategy is not None
        assert self.model is not None
        with init.left_blank():
            model = build(self.model.spec())
        model.vector[:] = task.request.weights
        kept = {name: np.zeros(length, np.float32) for name, length in self.strategy.keeps(model.vector.size).items()}
        shuffles = local_random(seed, task.round, TRUSTED)
        update = self.strategy.local_update(model, self.rule.data, {**task.request.state, **kept}, shuffles)
        return _joint(update.vectors)

    def combine(
        self, opened: Sequence[tuple[OpenedSum, Aggregate]], count: int, beside: Beside
    ) -> tuple[Aggregate, Choice, State]:
        """The groups' means as one, what the record keeps, and what the next round needs.

        count: groups that the cohort was cut into. Totals (addends, examples, loss) are over all groups, whichever the
        rule chose. Of what the rule gives no bound on the error is known.
        """
        aggregates = [aggregate for _, aggregate in opened]
        vectors = np.stack([_joint(aggregate.mean) for aggregate in aggregates])
        try:
            f, combined = self.rule.malicious(len(vectors)), self.rule(vectors, beside)
        except BadInput as error:
            raise RoundVoid(str(error)) from None
        numbers = [each.group for each, _ in opened]
        weights, losses = [each.weight or 0 for each in aggregates], [each.loss or 0.0 for each in aggregates]
        below = [each.below for each in aggregates if each.below is not None]
        counted = aggregates[0].weight is not None  # not under noise, where all clients weigh the same
        whole = Aggregate(
            mean=_apart(combined.vector, aggregates[0].mean),
            addends=sum(aggregate.addends for aggregate in aggregates),
            weight=sum(weights) if counted else None,
            loss=float(np.average(losses, weights=weights)) if counted else None,
            clipped=sum(aggregate.clipped or 0 for aggregate in aggregates) if counted else None,
            capped=sum(aggregate.capped or 0 for aggregate in aggregates) if counted else None,
            error_bound=float("inf"),
            below=float(np.mean(below)) if below else None,
            finer={name: float(np.median([each.finer[name] for each in aggregates])) for name in aggregates[0].finer},
        )
        choice = Choice(
            rule=str(self.rule),
            f=f,
            numbers=numbers,
            groups=[list(each.clients) for each, _ in opened],
            left_out=sorted(set(range(count)) - set(numbers)),
            chosen=None if combined.chosen is None else combined.chosen.tolist(),
            norms=np.linalg.norm(vectors, axis=1).tolist(),
            scores=None if combined.scores is None else combined.scores.tolist(),
        )
        return whole, choice, {KEPT: combined.vector} if self.rule.remembers else {}


def groups_in(rule: Rule | None, group_size: int | None, cohort: int, protection: Protection) -> int:
    """How many groups a usual cohort is cut into: 1 without a rule."""
    return 1 if rule is None else max(1, cohort // (group_size or protection.min_cohort))


def defend(
    rule: Rule | None,
    group_size: int | None,
    cohort: int,
    protection: Protection,
    sampler: Sampler,
    strategy: Strategy,
    model: Model,
) -> Defence | None:
    """The rule for a run, checked and told of in the log; None for the mean.

    group_size: None takes the smallest that the protection opens. Raises `BadInput` for what cannot work together.
    """
    if rule is None:
        return None
    defence = Defence(rule, group_size or protection.min_cohort, cohort, strategy, model)
    defence.check(protection, sampler, strategy, model.vector.size)
    log.info("%s", defence)
    return defence


def combined(
    defence: Defence | None, opened: Sequence[tuple[OpenedSum, Aggregate]], seed: int, task: RoundTask, state: State
) -> tuple[Aggregate, dict[str, Any] | None, State]:
    """The vector that is applied, what its record keeps of the rule, and what is added to the run's state.

    Without a defence the cohort has one sum, whose mean that is. Raises `RoundVoid` where too few groups are left.
    """
    if defence is None:
        return opened[0][1], None, {}
    trusted = defence.own_update(seed, task) if defence.rule.trusts else None
    beside = Beside(stream(seed, "robust", task.round), state.get(KEPT), trusted)
    count = len(cut(seed, task.round, task.cohort, defence.group_size))
    aggregate, choice, kept = defence.combine(opened, count, beside)
    return aggregate, choice.to_dict(), kept


def _joint(mean: Mapping[str, np.ndarray]) -> np.ndarray:
    """All that a strategy sends as one vector, float32."""
    return np.concatenate(list(mean.values())).astype(np.float32)


def _apart(vector: np.ndarray, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The vector's parts by name, float64, of these lengths."""
    ends = np.cumsum([len(part) for part in like.values()])[:-1]
    return dict(zip(like, np.split(vector.astype(np.float64), ends), strict=True))
