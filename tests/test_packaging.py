"""What a release says of itself, told in several files, is one and the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import fedlearn

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_one_version_and_one_licence_stand_everywhere():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    said = dict(re.findall(r"^(version|license): (.+)$", citation, re.MULTILINE))
    assert said == {"version": PROJECT["version"], "license": PROJECT["license"]}
    assert fedlearn.__version__ == PROJECT["version"]


def test_every_extra_that_the_docs_name_is_there():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = {
        extra
        for page in pages
        for extras in re.findall(r"pip install '\.\[([\w,]+)\]'|fedlearn\[([\w,]+)\]", page.read_text(encoding="utf-8"))
        for extra in "".join(extras).split(",")
    }
    assert named
    assert named <= set(PROJECT["optional-dependencies"])
