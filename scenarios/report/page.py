"""The page of a report, from a template: HTML with its style, pictures and script in it, and no request to anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from fedlearn.disk import write_atomic
from fedlearn.wording import many
from scenarios.report.runs import Configuration, configurations, find
from scenarios.report.sections import Section, all_sections

NAME = "report.html"


def write_page(places: Sequence[Path], target: Path) -> None:
    """The report on all runs in these folders, as a file. Raises `BadInput` where there are none."""
    write_atomic(target, page(configurations(find(places))).encode())


def page(found: Sequence[Configuration]) -> str:
    """The report on these configurations."""
    from jinja2 import Environment

    here = files("scenarios.report")
    template = Environment(autoescape=True).from_string((here / "page.html").read_text(encoding="utf-8"))
    runs = sum(len(each.runs) for each in found)
    scenarios = ", ".join(dict.fromkeys(each.first.scenario for each in found))
    sections: list[Section] = all_sections(found)
    return template.render(
        title=f"fedlearn: {scenarios}",
        lead=f"{many(runs, 'run')} of {many(len(found), 'configuration')}. "
        "Everything on this page comes from the run folders.",
        sections=sections,
        css=Markup((here / "page.css").read_text(encoding="utf-8")),
        js=Markup((here / "page.js").read_text(encoding="utf-8")),
    ).lstrip()
