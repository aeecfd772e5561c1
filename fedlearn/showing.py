"""Small tables in HTML, as notebooks show things that have a `_repr_html_`; all text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 180, 48  # of a curve, in pixels


def table(line: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A line, and under it a table."""
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<p>{escape(line)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def curve(name: str, values: Sequence[float]) -> str:
    """A small curve of finite numbers, from left to right, with its ends in words; nothing for fewer than two."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    across, up = WIDTH / (len(values) - 1), HEIGHT / ((high - low) or 1.0)
    points = " ".join(f"{n * across:.1f},{HEIGHT - (value - low) * up:.1f}" for n, value in enumerate(values))
    said = escape(f"{name} {values[0]:.4g} to {values[-1]:.4g}")
    return (
        f"<figure style='display:inline-block;margin:0 1em 0 0'><figcaption>{said}</figcaption>"
        f"<svg role='img' aria-label='{said}' width='{WIDTH}' height='{HEIGHT}' "
        f"viewBox='-2 -2 {WIDTH + 4} {HEIGHT + 4}'>"
        f"<polyline fill='none' stroke='currentColor' stroke-width='1.5' points='{points}'/></svg></figure>"
    )


def facts(line: str, about: Mapping[str, object]) -> str:
    """A line, and under it what is said of the thing, a row each; what is None is left out."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in about.items()
        if value is not None
    )
    return f"<p>{escape(line)}</p><table><tbody>{rows}</tbody></table>"
