"""The texts about an option: its help, the grammar of its value, its limits, and how it is typed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fedlearn.errors import BadInput

WHO, READ, LEARN, PROTECT, RUN = (
    "Who takes part", "How data are read", "How they learn", "What hides updates", "How it runs",
)  # fmt: skip
PANELS = (WHO, READ, LEARN, PROTECT, RUN)


@dataclass(frozen=True)
class About:
    """One option, as help shows it and the command reads it.

    help, panel: what it is, and under which heading. form: the grammar of its value; "" for a flag.
    least, most: limits of a number, both allowed; above: a limit that is not.
    """

    help: str
    panel: str
    form: str
    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf

    def check(self, name: str, value: Any) -> None:
        """Raise `BadInput` for a number outside of the limits."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        if not (self.least <= value <= self.most and self.above < value < math.inf):
            least = f"from {self.least}" if self.least > -math.inf else f"above {self.above:g}"
            most = f" to {self.most}" if self.most < math.inf else ""
            raise BadInput(f"{name} is {value}, a number {least}{most} is needed")


def flag(name: str) -> str:
    """An option as it is typed. Words that mean something in Python, as `from_`, end with a `_` there."""
    return f"--{name.rstrip('_').replace('_', '-')}"
