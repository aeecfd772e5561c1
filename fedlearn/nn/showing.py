"""A module as text and as a notebook shows it: a row for each parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.showing import table
from fedlearn.wording import many

if TYPE_CHECKING:
    from fedlearn.nn.module import Module

MOST = 30  # rows


def module_summary(module: Module) -> str:
    """A line for each parameter: its name, shape and size; and the sum."""
    parameters = dict(module.named_parameters())
    rows = [(name, str(p.shape), f"{p.size:,}") for name, p in parameters.items()]
    rows.append(("all", "", f"{sum(p.size for p in parameters.values()):,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(f"{name:<{widths[0]}}  {shape:<{widths[1]}}  {size:>{widths[2]}}" for name, shape, size in rows)


def module_html(module: Module) -> str:
    """Its name, how many numbers it has, and a table of their names and shapes."""
    parameters = list(module.named_parameters())
    total = sum(parameter.size for _, parameter in parameters)
    rows = [
        (name, " x ".join(map(str, p.shape)) or "1", f"{p.size:,}", "yes" if p.requires_grad else "no")
        for name, p in parameters[:MOST]
    ]
    if len(parameters) > MOST:
        rows.append((f"and {len(parameters) - MOST} more", "", "", ""))
    line = f"{type(module).__name__} of {many(total, 'number')} in {many(len(parameters), 'parameter')}"
    return table(line, ("parameter", "shape", "numbers", "trained"), rows)
