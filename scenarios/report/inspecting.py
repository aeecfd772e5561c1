"""A run in ten lines, for the terminal; many runs in a line each."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedlearn.errors import DataError
from fedlearn.wording import many
from scenarios.report.runs import Run, places_in, rounded, shown
from scenarios.report.seen import Flow, flows


def told(folder: Path) -> Iterator[str]:
    """Tell of a run in ten lines; of a folder with runs in it, a line for each, and how much room all take.

    Raises `BadInput` where there is no run.
    """
    places = places_in(folder)
    if places == [folder]:
        yield from lines(Run.load(folder))
        return
    sizes = [sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) for place in places]
    width = max(len(str(place)) for place in places)
    for place, size in zip(places, sizes, strict=True):
        yield f"{place!s:<{width}}  {_in_a_line(place)}; {size / 1e6:.1f} MB"
    yield f"{many(len(places), 'run')}, {sum(sizes) / 1e6:.1f} MB: a run that nobody needs is a folder to delete"


def _in_a_line(place: Path) -> str:
    try:
        run = Run.load(place)
    except DataError:
        return "cannot be read"
    figures = "".join(f", {name} {value:.4g}" for name, value in list(run.figures().items())[:3])
    state = f"{shown(run.outcome.get('state'))}, {many(len(run.records), 'round')}{figures}"
    return f"{run.scenario} under {run.protection}: {state}"


def lines(run: Run) -> list[str]:
    """Tell what the run was, what came out, time and bytes by phase, losses, who saw what, how to repeat it."""
    conf, records = run.configuration, run.records
    data = run.run["data_set"]
    settings = ", ".join(f"{name} {shown(conf[name])}" for name in ("strategy", "protection", "seed") if name in conf)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in run.figures().items())
    seconds: Counter[str] = Counter()
    for record in records:
        seconds.update(record.seconds)
    times = ", ".join(f"{name} {value:.3g} s" for name, value in seconds.items())
    sent = [sum(getattr(r, name) for r in records) for name in ("bytes_up", "bytes_down", "bytes_openers")]
    lost = Counter(reason for record in records for reason in record.lost.values())
    void = Counter(record.void for record in records if record.void is not None)
    bounds = [r.error_bound for r in records if r.error_bound is not None]
    all_flows = flows(run.path, run.protection)
    reason = run.outcome.get("reason")
    return [
        f"      run  {run.scenario}: {shown(run.outcome.get('state'))}{f', {reason}' if reason else ''}",
        f"     data  {data.get('name', 'not named')}{', synthetic' if data.get('synthetic') else ''}; {settings}",
        f"   result  {figures or '-'}",
        *_privacy(run.outcome.get("privacy")),
        f"   rounds  {len(records)}, {void.total()} void{_reasons(void)}",
        f"  clients  {many(sum(r.clients_ok for r in records), 'update')} counted, {lost.total():,} "
        f"lost{_reasons(lost)}",
        f"     time  {times or '-'}",
        f"    bytes  {sent[0]:,} up, {sent[1]:,} down, {sent[2]:,} to openers and back",
        f"    codec  {f'a weight of the mean is wrong by {max(bounds):.3g} at most' if bounds else '-'}"
        f"{'' if (measured := run.rounding()) is None else f', and was by {measured:.3g}'}",
        f"      saw  {_seen(all_flows)}",
        f"   repeat  fedlearn run --config {shlex.quote(str(run.path / 'run.toml'))}",
    ]


def _privacy(spent: Any) -> list[str]:
    """The cost of the run in privacy, in a line; nothing without noise, or where it cannot be read."""
    if not isinstance(spent, Mapping):
        return []
    told = {
        name: rounded(spent.get(name))
        for name in ("epsilon", "epsilon_aggregator", "delta", "noise", "clip", "where", "unit")
    }
    adapts = f", at the end {rounded(spent.get('next_clip'))}" if spent.get("adaptive") else ""
    insecure = " INSECURE: noise from a seed;" if spent.get("insecure") else ""
    return [
        f"  privacy {insecure} epsilon {told['epsilon']} for who sees the models, {told['epsilon_aggregator']} for the "
        f"aggregator, delta {told['delta']}, of one {told['unit']}; noise {told['noise']}, "
        f"clip {told['clip']}{adapts}, added by {told['where']}"
    ]


def _reasons(counted: Counter[str]) -> str:
    return "".join(f"; {count} {reason}" for reason, count in counted.most_common(3))


def _seen(all_flows: list[Flow]) -> str:
    """The bytes that went to each party, by who could read them, in a line."""
    total: dict[str, Counter[str]] = {}
    for flow in all_flows:
        total.setdefault(flow.recipient, Counter())[flow.readable] += flow.bytes
    parts = [
        f"{who}: " + ", ".join(f"{size:,} B {what}" for what, size in sizes.items()) for who, sizes in total.items()
    ]
    return "; ".join(parts) or "-"
