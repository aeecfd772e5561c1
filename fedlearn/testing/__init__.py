"""Checks that every strategy, model, partition, protection, attack, sampler, behaviour, query and rule must pass.

This project runs them over all its registries, and they are for classes of your own too:

    from fedlearn.testing import check_strategy
    check_strategy(MyStrategy(mu=0.1))

A check returns nothing, or raises `AssertionError` with a sentence that says what is wrong and what to do about it.
`scenarios.testing` holds those that need both sides of the wire: a whole federation inline and over processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy

if TYPE_CHECKING:
    from fedlearn.testing.attacks import check_attack
    from fedlearn.testing.behaviours import check_behaviour
    from fedlearn.testing.models import check_model
    from fedlearn.testing.partitions import check_partition
    from fedlearn.testing.protections import check_protection
    from fedlearn.testing.queries import check_query
    from fedlearn.testing.rules import check_rule
    from fedlearn.testing.samplers import check_sampler
    from fedlearn.testing.strategies import check_strategy

__all__ = [
    "check_attack",
    "check_behaviour",
    "check_model",
    "check_partition",
    "check_protection",
    "check_query",
    "check_rule",
    "check_sampler",
    "check_strategy",
]
__getattr__ = lazy(
    __name__,
    {
        "check_attack": "attacks",
        "check_behaviour": "behaviours",
        "check_model": "models",
        "check_partition": "partitions",
        "check_protection": "protections",
        "check_query": "queries",
        "check_rule": "rules",
        "check_sampler": "samplers",
        "check_strategy": "strategies",
    },
)
