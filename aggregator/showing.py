"""A history as people look at it: flat rows, a DataFrame, curves, and a small table in a notebook."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from fedlearn.errors import BadInput
from fedlearn.showing import curve, facts

if TYPE_CHECKING:
    from aggregator.aggregator import Aggregator
    from aggregator.history import RoundRecord

SHOWN = 5  # rounds at either end of a table in a notebook


def flat_row(record: RoundRecord) -> dict[str, Any]:
    """A round with one number, text or None a column: `seconds_update`..., `lost`, `absent` and groups as counts."""
    row = record.to_dict()
    seconds, robust = row.pop("seconds"), row.pop("robust")
    row.pop("by_client", None)
    row.pop("confusion", None)
    counts = {name: len(row.pop(name)) for name in ("lost", "absent")}
    counts |= {"groups": len(robust["groups"])} if robust else {}
    return row | counts | {f"seconds_{phase}": value for phase, value in seconds.items()}


def to_pandas(records: Sequence[RoundRecord]) -> Any:
    """A DataFrame of `flat_row`s, by round."""
    try:
        from pandas import DataFrame
    except ImportError:
        raise BadInput("to_pandas needs pandas: pip install 'fedlearn[notebooks]'") from None
    rows = [flat_row(record) for record in records]
    return DataFrame(rows).set_index("round") if rows else DataFrame()


def plot(records: Sequence[RoundRecord]) -> Any:
    """A Matplotlib figure with a panel for the loss and for each metric; a notebook shows it by itself."""
    try:
        from aggregator.curves import Curves
    except ImportError:
        raise BadInput("plot needs matplotlib: pip install 'fedlearn[plots]'") from None
    names = list(dict.fromkeys(name for record in records for name in _values(record)))
    figure = Curves((3.4 * max(1, len(names)) + 0.6, 3.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, max(1, len(names)), squeeze=False)[0], names, strict=False):
        points = [(record.round, _values(record)[name]) for record in records if name in _values(record)]
        axes.plot(*zip(*points, strict=True), marker=".")
        axes.set(xlabel="round", ylabel=name)
        axes.grid(alpha=0.3)
    return figure


def html(records: Sequence[RoundRecord], line: str) -> str:
    """A line about all rounds, a small curve of the loss and each metric, a table of the first and the last rounds."""
    names = list(dict.fromkeys(name for record in records for name in _values(record)))
    left_out = len(records) > 2 * SHOWN
    shown = [*records[:SHOWN], None, *records[-SHOWN:]] if left_out else records
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in ("round", *names, "clients", "void"))
    rows = "".join(f"<tr>{_cells(record, names)}</tr>" for record in shown)
    curves = "".join(curve(name, [found[name] for r in records if name in (found := _values(r))]) for name in names)
    return f"<p>{escape(line)}</p>{curves}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def record_html(record: RoundRecord) -> str:
    """A round: its figures, what it took, and who was lost."""
    row = {name: value for name, value in flat_row(record).items() if value not in (None, "", 0)}
    row |= {name: f"{value:.4g}" for name, value in row.items() if isinstance(value, float)}
    reasons = Counter(record.lost.values())
    row |= {"lost": "; ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))} if reasons else {}
    return facts(f"Round {row.pop('round')}: {record.headline()}", row)


def aggregator_html(aggregator: Aggregator) -> str:
    """Show what it trains, how, and what came of it; never a weight."""
    about = {
        "strategy": aggregator.strategy,
        "protection": aggregator.protection,
        "cohort": aggregator.cohort or "all clients",
        "sampler": type(aggregator.sampler).__name__,
        "faults": aggregator.faults,
        "seed": aggregator.seed,
        "folder": aggregator.folder.path if aggregator.folder else None,
    }
    shown = facts(repr(aggregator).strip("<>"), about)
    return shown + (aggregator.history._repr_html_() if aggregator.history.rounds else "")


def _cells(record: RoundRecord | None, names: Sequence[str]) -> str:
    if record is None:
        return f"<td colspan='{len(names) + 3}'>...</td>"
    values = _values(record)
    cells = [str(record.round), *(f"{values[name]:.4f}" if name in values else "-" for name in names)]
    return "".join(f"<td>{escape(cell)}</td>" for cell in (*cells, str(record.clients_ok), record.void or ""))


def _values(record: RoundRecord) -> dict[str, float]:
    found = ({} if record.loss is None else {"loss": record.loss}) | record.metrics
    return {name: value for name, value in found.items() if math.isfinite(value)}
