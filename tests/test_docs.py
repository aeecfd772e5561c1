"""What the pages name is there: other pages, scenarios, options; and every page can be reached from the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scenarios import SCENARIOS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def links(page: Path) -> set[str]:
    found = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    return {str((page.parent / target).resolve().relative_to(ROOT)) for target in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere_and_scenarios_exist(page):
    missing = {target for target in links(page) if not (ROOT / target).exists()}
    assert not missing
    named = set(re.findall(r"fedlearn run ([a-z][a-z_]*)", page.read_text(encoding="utf-8")))
    assert named <= set(SCENARIOS.entries), named - set(SCENARIOS.entries)


def test_every_page_can_be_reached_from_the_readme():
    reached, fresh = set(), {"README.md"}
    while fresh:
        reached |= fresh
        fresh = {t for page in fresh if page.endswith(".md") for t in links(ROOT / page)} - reached
    assert {str(page.relative_to(ROOT)) for page in PAGES} <= reached
