"""The kernels that compute steps: decided once per run, since they can change bits.

A plan is recorded in the run, and every worker is told to `use` it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fedlearn.configured import make_plain
from fedlearn.errors import BadInput
from fedlearn.extras import numba_works


@dataclass(frozen=True)
class KernelPlan:
    """How recurrent layers, and recorded steps, are computed.

    cut: compute large recurrent products in blocks. compiled: run LSTM steps with numba; for the smallest layers, the
    whole sequence in one call. Chains of elementwise calls in recorded steps of any model are compiled then, too.
    """

    cut: bool = True
    compiled: bool = False

    def __post_init__(self) -> None:
        make_plain(self)
        if self.compiled and not numba_works():
            raise BadInput(
                "the kernel plan asks for compiled kernels and numba is not installed here, or not for this NumPy: "
                "pip install fedlearn[fast], or choose the kernels numpy"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for a run's record and for its workers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plan: Mapping[str, Any]) -> KernelPlan:
        if set(plan) != {"cut", "compiled"} or not all(isinstance(value, bool) for value in plan.values()):
            raise BadInput(f"not a kernel plan: {dict(plan)!r}; give what KernelPlan.to_dict() returned")
        return cls(**plan)


_current = KernelPlan()


def use(plan: KernelPlan) -> None:
    """Compute by `plan` from now on, in this process."""
    global _current
    _current = plan


def current() -> KernelPlan:
    return _current
