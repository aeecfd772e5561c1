"""Run plans for a protection's halves alone, without a session around them."""

from __future__ import annotations

from collections.abc import Mapping

from fedlearn.protocol import RunPlan
from fedlearn.secure.base import Protection
from fedlearn.secure.layout import Layout
from fedlearn.secure.segments import Segment
from fedlearn.travel import description


def plan_of(
    protection: Protection, length: int, keys: Mapping[int, bytes] | None = None, cohort: int = 3, rounds: int = 1
) -> RunPlan:
    """So many rounds of vectors of `length` integers; keys: the openers'."""
    return RunPlan(
        session=bytes(16),
        roster={},
        model={},
        vocabulary={},
        strategy={},
        protection=description(protection),
        keys=dict(keys or {}),
        layout=Layout((Segment("delta", length, protection.codec),), max_weight=1).to_dict(),
        sampled=cohort,
        rounds=rounds,
        kernels={},
        seed=0,
    )
