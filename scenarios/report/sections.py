"""The sections of a report, each from the records of runs; one that has nothing to say is left out."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from aggregator import RoundRecord
from fedlearn.untrusted import content
from scenarios.report import charts
from scenarios.report.findings import kept
from scenarios.report.runs import Configuration, Run, differences, rounded, shown
from scenarios.report.seen import MEANING, flows
from scenarios.sweep.table import NOTE, Figure

LONGEST_TOML = 2**20  # bytes
MOST_ROWS = 30  # of a confusion matrix that a page shows


@dataclass(frozen=True)
class Cell:
    """A table's cell: what it shows, and what it is sorted by where that is another."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Row:
    cells: Sequence[Cell]
    differs: bool = False


@dataclass(frozen=True)
class Table:
    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Part:
    """A picture with caption and legend, a table, code: what there is of them, in this order."""

    heading: str = ""
    picture: Markup | None = None
    caption: str = ""
    legend: Sequence[tuple[Markup, str]] = ()
    table: Table | None = None
    code: str = ""


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    parts: Sequence[Part]
    notes: Sequence[str] = field(default=())


def all_sections(found: Sequence[Configuration]) -> list[Section]:
    makers: tuple[Callable[[Sequence[Configuration]], Section], ...] = (
        results, learning, confusions, time_and_bytes, parties, privacy, attacks, exactness, losses, options, repeating,
    )  # fmt: skip
    return [section for make in makers if (section := make(found)).parts]


def results(found: Sequence[Configuration]) -> Section:
    names = list(dict.fromkeys(name for each in found for run in each.runs for name in run.figures()))
    rows = []
    for each in found:
        values = {name: [run.figures()[name] for run in each.runs if name in run.figures()] for name in names}
        states = Counter(str(run.outcome.get("state", "unknown")) for run in each.runs)
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        rows.append([Cell(each.label), Cell(counts), *(_figure(values[name]) for name in names)])
    columns = ["configuration", "runs", *names]
    return Section("results", "Results", [Part(table=Table(NOTE, columns, [Row(row) for row in rows]))])


def learning(found: Sequence[Configuration]) -> Section:
    names = dict.fromkeys(name for each in found for run in each.runs for r in run.records for name in _values(r))
    parts = []
    for number, name in enumerate(names):
        lines = [charts.Curve(each.label, points) for each in found if (points := _curve(each, name))]
        legend = [(charts.swatch(i), line.label) for i, line in enumerate(lines)]
        ends = "; ".join(f"{line.label}: {line.points[-1][1]:.4g}" for line in lines)
        title = f"{name} after each round. At the end {ends}"
        caption = f"{name} after each round: mean over seeds; the band is the 95% interval of the mean."
        parts.append(Part(name, charts.curves(f"curve-{number}", lines, title), caption, legend))
    return Section("learning", "Learning", parts)


def confusions(found: Sequence[Configuration]) -> Section:
    """Show what the model takes for what on clients' own examples, after the last round that they were asked in."""
    parts = []
    for each, run in [(one, run) for one in found for run in one.runs]:
        record = next((r for r in reversed(run.records) if 0 < len(r.confusion) <= MOST_ROWS), None)
        if record is not None:
            rows = [
                Row([Cell(str(number)), *(Cell(f"{value:,.5g}", value) for value in line)])
                for number, line in enumerate(record.confusion)
            ]
            title = f"{each.label}, seed {run.run.get('seed')}, round {record.round}: true classes by row, taken for"
            columns = ["class", *map(str, range(len(record.confusion)))]
            parts.append(Part(each.label, table=Table(title, columns, rows)))
    return Section("confusion", "What clients find: which class is taken for which", parts)


def time_and_bytes(found: Sequence[Configuration]) -> Section:
    trained = [each for each in found if any(run.records for run in each.runs)]
    seconds = {each.label: _per_round(each, lambda record: record.seconds) for each in trained}
    sent = {
        each.label: _per_round(
            each, lambda r: {"up": r.bytes_up / 1e3, "down": r.bytes_down / 1e3, "openers": r.bytes_openers / 1e3}
        )
        for each in trained
    }
    parts = [
        _bars("seconds", seconds, "Seconds a round by phase, mean over rounds and seeds", "s"),
        _bars("bytes", sent, "Kilobytes a round: up from clients, down to them, to openers and back", "kB"),
    ]
    return Section("time-and-bytes", "Time and bytes", parts if trained else [])


def _bars(name: str, bars: Mapping[str, Mapping[str, float]], title: str, unit: str) -> Part:
    names = list(dict.fromkeys(part for bar in bars.values() for part in bar))
    legend = [(charts.box(number), part) for number, part in enumerate(names)]
    rows = [
        Row([Cell(label), *(Cell(f"{bar.get(part, 0.0):,.4g}", bar.get(part, 0.0)) for part in names)])
        for label, bar in bars.items()
    ]
    table = Table(f"{title} ({unit})", ["configuration", *names], rows)
    return Part(name.capitalize(), charts.stacked(name, bars, title, unit), f"{title}.", legend, table)


def parties(found: Sequence[Configuration]) -> Section:
    parts = []
    for number, each in enumerate(found):
        all_flows = flows(each.first.path, each.first.protection)
        if not all_flows:
            continue
        title = f"{each.label}: what passed between the parties, by round"
        rows = [
            Row([
                Cell(f"{flow.sender} to {flow.recipient}"), Cell(flow.kind), Cell(f"{flow.messages:,}", flow.messages),
                Cell(f"{flow.bytes:,}", flow.bytes), Cell(flow.readable),
            ])
            for flow in all_flows
        ]  # fmt: skip
        columns = ["who", "message", "messages", "bytes", "readable"]
        picture = charts.transcript(f"seen-{number}", all_flows, title)
        caption = f"Seed {each.first.run.get('seed')}. Columns are as high as bytes are many, to one scale."
        parts.append(Part(each.label, picture, caption, table=Table(title, columns, rows)))
    notes = [f"{word}: {meaning}." for word, meaning in MEANING.items()]
    return Section("parties", "What each party saw", parts, notes)


def privacy(found: Sequence[Configuration]) -> Section:
    """The promises of noise, and to whom, where there is some: the most over the seeds."""
    rows = []
    for each in found:
        spent = [run.outcome["privacy"] for run in each.runs if isinstance(run.outcome.get("privacy"), Mapping)]
        if spent:
            worst = max(spent, key=lambda said: _number(said.get("epsilon")))
            cells = [_epsilon(worst.get(name)) for name in ("epsilon", "epsilon_aggregator")]
            rest = [Cell(shown(worst.get(name))) for name in ("where", "unit", "adjacency")]
            means = [Cell(rounded(worst.get("noise"))), Cell(_clip(worst))]
            rows.append(Row([Cell(each.label), *cells, _epsilon(worst.get("delta")), *means, *rest]))
    columns = [
        "configuration", "epsilon, to who sees the models", "epsilon, to the aggregator", "delta", "noise", "clip",
        "noise is added by", "unit", "adjacency",
    ]  # fmt: skip
    table = Table("What all rounds together cost in privacy; the worst of the seeds", columns, rows)
    notes = [
        "What anybody concludes from the models is at most exp(epsilon) times as likely with one client's data, "
        "or one example where that is the unit, as without, but for a chance of delta. Below 1 is strong, above 10 "
        "says little. Epsilons of different units must not be compared."
    ]
    return Section("privacy", "Privacy spent", [Part(table=table)] if rows else [], notes)


def _clip(privacy: Mapping[str, Any]) -> str:
    """The largest norm of an update, or where it began and ended."""
    clip, adaptive = rounded(privacy.get("clip")), privacy.get("adaptive")
    return f"{clip}, at the end {rounded(privacy.get('next_clip'))}" if adaptive else clip


def _number(value: Any) -> float:
    """An epsilon of run.json, where an infinite one is null."""
    return float(value) if isinstance(value, int | float) else math.inf


def _epsilon(value: Any) -> Cell:
    number = _number(value)
    return Cell("no limit") if math.isinf(number) else Cell(f"{number:.3g}", number)


def attacks(found: Sequence[Configuration]) -> Section:
    """The findings of `fedlearn attack` in the runs."""
    rows = [
        Row([
            Cell(each.label), Cell(str(row["attack"])), Cell(f"round {row.get('round', '-')}, {row['about']}"),
            Cell(str(row["summary"])),
        ])
        for each in found
        for run in each.runs
        for row in kept(run.path)
    ]  # fmt: skip
    table = Table("What attacks read out of the recorded transcripts", ["configuration", "attack", "of", "found"], rows)
    return Section("attacks", "What attacks found", [Part(table=table)] if rows else [])


def exactness(found: Sequence[Configuration]) -> Section:
    models: dict[tuple[str, str], list[str]] = {}
    rows = []
    for each in found:
        bounds = [r.error_bound for run in each.runs for r in run.records if r.error_bound is not None]
        clipped = sum(r.clipped or 0 for run in each.runs for r in run.records)
        if bounds:
            errors = [error for run in each.runs if (error := run.rounding()) is not None]
            measured = Cell(f"{max(errors):.3g}", max(errors)) if errors else Cell("-")
            bound = Cell(f"{max(bounds):.3g}", max(bounds))
            rows.append(Row([Cell(each.label), bound, measured, Cell(f"{clipped:,}", clipped)]))
        for run in each.runs:
            digest = run.outcome.get("model_sha256")
            if digest:
                models.setdefault((str(run.run.get("seed")), str(digest)), []).append(each.label)
    alike = [(seed, labels) for (seed, _), labels in models.items() if len(labels) > 1]
    same = [f"Seed {seed}: {' and '.join(labels)} gave the same model, bit for bit." for seed, labels in alike]
    table = Table(
        "Rounding: the largest error that a weight of the mean update can have, the largest it had, values cut off",
        ["configuration", "error bound", "error measured", "clipped"], rows,
    )  # fmt: skip
    notes = [
        "No party knows the error itself: the aggregator sees rounded numbers, a client its own update. A simulation "
        "measures it where it is recorded (--record) and all clients live in one process (--pool inline).",
        *same,
    ]
    return Section("exactness", "Exactness", [Part(table=table)] if rows else [], notes)


def losses(found: Sequence[Configuration]) -> Section:
    rows = []
    for each in found:
        records = [record for run in each.runs for record in run.records]
        reasons = {
            "client lost": Counter(reason for record in records for reason in record.lost.values()),
            "opener absent": Counter(reason for record in records for reason in record.absent.values()),
            "round void": Counter(record.void for record in records if record.void is not None),
            "run ended": Counter(str(run.outcome["reason"]) for run in each.runs if run.outcome.get("reason")),
        }
        rows += [
            Row([Cell(each.label), Cell(what), Cell(why), Cell(f"{count:,}", count)])
            for what, counted in reasons.items()
            for why, count in counted.most_common()
        ]
    table = Table("What was lost, over all rounds and seeds", ["configuration", "what", "why", "times"], rows)
    return Section("losses", "Losses", [Part(table=table)] if rows else [])


def options(found: Sequence[Configuration]) -> Section:
    decided = [each.decides() for each in found]
    differing = set(differences(decided))
    names = dict.fromkeys(name for each in decided for name in each)
    ordered = sorted(names, key=lambda name: name not in differing)
    shown = [name for name in ordered if any(each.get(name, "-") != "-" for each in decided)]
    rows = [Row([Cell(name), *(Cell(each.get(name, "-")) for each in decided)], name in differing) for name in shown]
    table = Table("Options; what differs stands first", ["option", *(each.label for each in found)], rows)
    return Section("options", "Configurations side by side", [Part(table=table)])


def repeating(found: Sequence[Configuration]) -> Section:
    parts = []
    for each in found:
        toml = each.first.path / "run.toml"
        rows = [
            Row([Cell(str(run.run.get("seed"))), Cell(str(run.path)), Cell(shown(run.outcome.get("model_sha256")))])
            for run in each.runs
        ]
        table = Table(f"{each.label}: seeds, folders, and the SHA-256 of the models", ["seed", "folder", "model"], rows)
        code = f"fedlearn run --config {shlex.quote(str(toml))}\n\n{_text_of(toml)}" if toml.is_file() else ""
        parts.append(Part(each.label, table=table, code=code))
    versions = dict.fromkeys(_versions(run) for each in found for run in each.runs)
    data = dict.fromkeys(_data_set(run) for each in found for run in each.runs)
    return Section("repeating", "How to repeat it", parts, [*versions, *data])


def _text_of(toml: Path) -> str:
    """Read a file of a run; nothing through a link, whose target would stand on a page that is passed on."""
    return "" if toml.is_symlink() else content(toml, LONGEST_TOML).decode(errors="replace")


def _versions(run: Run) -> str:
    return "Versions: " + ", ".join(f"{name} {number}" for name, number in run.run["versions"].items()) + "."


def _data_set(run: Run) -> str:
    about = run.run["data_set"]
    digest = f", SHA-256 {about['sha256']}" if about.get("sha256") else ""
    return f"Data: {about.get('name', 'not named')}{digest}{', synthetic' if about.get('synthetic') else ''}."


def _values(record: RoundRecord) -> dict[str, float]:
    found = ({} if record.loss is None else {"loss": record.loss}) | record.metrics
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _curve(each: Configuration, name: str) -> list[tuple[int, float, float, float]]:
    by_round: dict[int, list[float]] = {}
    for run in each.runs:
        for record in run.records:
            if name in (values := _values(record)):
                by_round.setdefault(record.round, []).append(values[name])
    points = []
    for round, found in sorted(by_round.items()):
        figure = Figure.of(found)
        low, high = (figure.mean if end is None else end for end in (figure.low, figure.high))
        points.append((round, figure.mean, low, high))
    return points


def _per_round(each: Configuration, parts: Callable[[RoundRecord], Mapping[str, float]]) -> dict[str, float]:
    """The mean over all rounds of all runs, by part."""
    records = [record for run in each.runs for record in run.records]
    total: Counter[str] = Counter()
    for record in records:
        total.update(parts(record))
    return {name: value / len(records) for name, value in total.items()}


def _figure(values: Iterable[float]) -> Cell:
    numbers = list(values)
    if not numbers or not all(map(math.isfinite, numbers)):
        return Cell("-")
    figure = Figure.of(numbers)
    return Cell(figure.shown(), figure.mean)
