"""Groups: a round's cohort cut into parts whose sums are opened one by one, so that a rule can compare their means.

Who is in which group follows from the run's seed and the round alone. It is the same in every attempt at a round and in
a session that goes on with it: else two sums of one round could differ by a single client. Where the plan's sampler is
public, openers and clients cut the cohort by themselves, and nobody's company is for the aggregator to choose.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from fedlearn.checked import takes_plain
from fedlearn.configured import whole_number
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.protocol import RunPlan, party_name
from fedlearn.sampling import drawn
from fedlearn.seeding import stream

Groups = tuple[frozenset[int], ...]


@takes_plain
def cut(seed: int, round: int, cohort: Iterable[int], size: int) -> Groups:
    """The cohort in a drawn order, cut into as many groups as `size` clients allow; what is left over joins them.

    So no group is smaller than `size`, unless the whole cohort is: then it is one group.
    """
    try:
        clients = np.sort(np.fromiter(cohort, np.int64))
    except (TypeError, ValueError, OverflowError):
        raise BadInput(f"the cohort is {cohort!r:.60}: give clients' numbers") from None
    whole_number("the size of a group", size, least=1)
    order = stream(seed, "groups", round).permutation(clients)
    return tuple(frozenset(part.tolist()) for part in np.array_split(order, max(1, len(order) // size)))


@lru_cache(maxsize=4)
def groups_of(plan: RunPlan, round: int) -> Groups:
    """As every party cuts them; raises `ProtocolError` for a plan that cuts cohorts which nobody can check."""
    if not plan.sampling.get("sampler"):
        raise ProtocolError(
            "the plan cuts cohorts into groups and names no sampler, so that nobody can check who is in which: "
            "take a public one, uniform or poisson"
        )
    return cut(plan.seed, round, drawn(plan, round), plan.group_size)


def group_of(plan: RunPlan, round: int, client: int) -> int:
    """The number of a client's group, 0 where the plan cuts none; `ProtocolError` for one that is not drawn."""
    if not plan.group_size:
        return 0
    number = _numbers(plan, round).get(client)
    if number is None:
        raise ProtocolError(
            f"the plan's sampler does not draw {party_name(client)} in round {round}: it is in no group"
        )
    return number


@lru_cache(maxsize=4)
def _numbers(plan: RunPlan, round: int) -> dict[int, int]:
    """By client, the number of its group."""
    return {client: number for number, group in enumerate(groups_of(plan, round)) for client in group}


def check_together(plan: RunPlan, round: int, client: int, others: Iterable[int]) -> None:
    """Raise `ProtocolError` for clients of another group than the first's, where the plan cuts groups."""
    if not plan.group_size:
        return
    strangers = set(others) - groups_of(plan, round)[group_of(plan, round, client)]
    if strangers:
        raise ProtocolError(f"{party_name(min(strangers))} is not of this client's group in round {round}")
