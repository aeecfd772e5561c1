"""`fedlearn bench NAME --against OTHER.json`: the figures of this run beside those of another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fedlearn.errors import BadInput


def read(path: Path, benchmark: str) -> dict[str, float]:
    """Figures by name, of what `fedlearn bench NAME --json` printed; `BadInput` for anything else."""
    try:
        result = json.loads(path.read_text(encoding="utf-8").strip().splitlines()[-1])
        found = {str(claim["name"]): float(claim["value"]) for claim in result["claims"]}
        kind = str(result["benchmark"])
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, IndexError):
        raise BadInput(
            f"{path} is no result of a benchmark: keep what `fedlearn bench {benchmark} --json` prints"
        ) from None
    if kind != benchmark:
        raise BadInput(f"{path} is of the benchmark {kind:.40}: give one of {benchmark}")
    return found


def compared(result: dict[str, Any], before: dict[str, float]) -> str:
    """A line for each figure that both runs have: now, before, and now over before."""
    both = [
        (claim["name"], claim["value"], before[claim["name"]]) for claim in result["claims"] if claim["name"] in before
    ]
    if not both:
        return "the two runs have no figure in common"
    width = max(len(name) for name, _, _ in both)
    lines = [f"{'figure':<{width}}  {'now':>12}  {'before':>12}  {'times':>6}"]
    for name, now, then in both:
        times = f"{now / then:6.2f}" if then else f"{'-':>6}"
        lines.append(f"{name:<{width}}  {now:>12,.2f}  {then:>12,.2f}  {times}")
    return "\n".join(lines)
