"""Small tables in HTML, as notebooks show things that have a `_repr_html_`; all text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape


def table(line: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A line, and under it a table."""
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<p>{escape(line)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def facts(line: str, about: Mapping[str, object]) -> str:
    """A line, and under it what is said of the thing, a row each; what is None is left out."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in about.items()
        if value is not None
    )
    return f"<p>{escape(line)}</p><table><tbody>{rows}</tbody></table>"
