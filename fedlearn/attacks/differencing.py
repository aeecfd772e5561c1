"""One client's update out of opened sums, by taking away what is known.

Colluders know their own data and can repeat their own training, so that of a sum of K clients K - 1 colluders leave
the last one's update, exactly: no minimum size of a cohort stops it, only knowing who the clients are. Two sums whose
cohorts differ by one client differ by that client's update: exactly where all else is repeated, as in two sessions
from one model, and blurred by the others' training from round to round. A limit on the overlap of cohorts stops it
within a session; nobody who opens sums remembers another session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from fedlearn.attacks.base import Attack, NotReadable
from fedlearn.attacks.changed_rows import WordsFound, moved_words
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.attacks.two_candidates import replayed
from fedlearn.datasets.examples import Examples
from fedlearn.protocol import PartyView


@dataclass(frozen=True)
class Collusion(Attack):
    """The words of whoever is in the first opened sum beside the colluders.

    known: the colluders' own data, by client number
    """

    known: Mapping[int, Examples]

    name: ClassVar[str] = "collusion"

    def run(self, view: PartyView) -> list[WordsFound]:
        observed = Observed(view)
        total = _first_sum(observed)
        weights = observed.weights[total.round]
        rest = total.values.copy()
        for client, data in self.known.items():
            rest -= replayed(observed, weights, total.round, client, data)
        return [_words(self.name, observed, replace(total, values=rest, addends=total.addends - len(self.known)))]


@dataclass(frozen=True)
class Differencing(Attack):
    """The words of whoever is in the first opened sum of the view and not in that of `without`.

    without: the same party's view of another session, from the same model and seed
    """

    without: PartyView

    name: ClassVar[str] = "differencing"

    def run(self, view: PartyView) -> list[WordsFound]:
        observed, other = Observed(view), Observed(self.without)
        total, less = _first_sum(observed), _first_sum(other)
        if observed.weights[total.round].tobytes() != other.weights[less.round].tobytes():
            raise NotReadable("the two sums were trained from different models: their difference is no update")
        rest = replace(total, values=total.values - less.values, addends=total.addends - less.addends)
        return [_words(self.name, observed, rest)]


def _first_sum(observed: Observed) -> Vector:
    sums = [vector for vector in observed.readable() if vector.is_sum]
    if not sums:
        raise NotReadable("this transcript holds no opened sum: plain updates need no subtracting")
    return sums[0]


def _words(attack: str, observed: Observed, rest: Vector) -> WordsFound:
    return WordsFound(attack, "the client left", rest.round, moved_words(observed, rest))
