"""Rules with something before them, `nnm+trimmed:f=3`, and how users write them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from aggregator.robust import RULES
from aggregator.robust.base import Before, Beside, Combined, Malicious, Rule
from aggregator.robust.points import Points
from fedlearn.configured import arguments_of
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput

P = TypeVar("P", bound=Malicious)


@dataclass(frozen=True)
class Chain(Rule):
    """`before`, in order, and then the rule, all for the same f.

    chosen and scores are the rule's, as long as what it sees are as many vectors as there were.
    """

    before: tuple[Before, ...]
    rule: Rule
    f: int | None = None

    @property
    def trusts(self) -> bool:  # type: ignore[override]
        return self.rule.trusts

    @property
    def data(self) -> Any:
        return self.rule.data

    @property
    def remembers(self) -> bool:  # type: ignore[override]
        return self.rule.remembers

    @property
    def by_coordinate(self) -> bool:  # type: ignore[override]
        return all(part.by_coordinate for part in (*self.before, self.rule))

    def trusting(self, data: Examples) -> Self:
        return replace(self, rule=self.rule.trusting(data))

    def most(self, n: int) -> int:
        most = n
        for part in self.before:
            most, n = min(most, part.most(n)), part.left(n)
        return min(most, self.rule.most(n))

    def combine(self, points: Points, beside: Beside) -> Combined:
        n, f = len(points), self.malicious(len(points))
        for part in self.before:
            points = _for(part, f).apply(points, beside)
        combined = _for(self.rule, f).combine(points, beside)
        return combined if len(points) == n else Combined(combined.vector)

    def __str__(self) -> str:
        return "+".join(map(str, (*self.before, _for(self.rule, self.f))))


def as_rule(given: Rule | str) -> Rule:
    """A rule, or the one that a text such as `nnm+trimmed:f=3` names; raises `BadInput` for anything else."""
    if isinstance(given, Rule):
        return given
    if not isinstance(given, str):
        raise BadInput(f"robust is {given!r:.80}: give a rule, or its name, one of {', '.join(RULES.entries)}")
    *before, last = (RULES.parse(text.strip()) for text in given.split("+"))
    for part in before:
        if not isinstance(part, Before):
            raise BadInput(f"{given}: {part.name} is a rule, after which nothing follows: write it last")
    if not isinstance(last, Rule):
        raise BadInput(f"{given}: {last.name} is done before a rule: write one after it, as in {last.name}+trimmed")
    said = {part.f for part in (*before, last) if part.f is not None}
    if len(said) > 1:
        raise BadInput(f"{given} has several f, {', '.join(map(str, sorted(said)))}: give one, after the last name")
    f = said.pop() if said else None
    return Chain(tuple(_for(part, None) for part in before), _for(last, None), f) if before else last


def _for(part: P, f: int | None) -> P:
    """The same for another f, where it takes one."""
    return replace(part, f=f) if "f" in arguments_of(part) else part  # type: ignore[type-var]
