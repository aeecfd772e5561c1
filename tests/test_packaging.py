"""What a release says of itself, told in several files, is one and the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
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


def test_it_runs_where_it_is_not_installed(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    installed = Path(sysconfig.get_path("purelib")).iterdir()
    ours = [ROOT / room for room in ("fedlearn", "aggregator", "clients", "scenarios")]
    for each in [*ours, *(one for one in installed if "fedlearn" not in one.name)]:
        (site / each.name).symlink_to(each)
    command = [sys.executable, "-S", "-m", "fedlearn", "run", "spam", "--protection", "none", "--rounds", "1"]
    environment = {"PYTHONPATH": str(site), "PATH": ""}
    ended = subprocess.run(
        [*command, "--quiet", "--out", "run"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    versions = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["versions"]
    assert "numpy" in versions
    assert "fedlearn" not in versions
