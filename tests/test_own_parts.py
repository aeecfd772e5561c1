"""docs/your-own-parts.md runs as it stands: its files are written, its commands are typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "your-own-parts.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [
    line for block in re.findall(r"```\n((?:python|fedlearn) .*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]
SAYS = {"python arrays.py": "counted", "python with_checksums.py": "2 rounds counted", "python check.py": "all is well"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("parts")
    for name, text in FILES.items():
        (place / name).write_text(text, encoding="utf-8")
    return place


def typed(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *words = shlex.split(command)
    start = [sys.executable] if program == "python" else [sys.executable, "-m", "fedlearn"]
    paths = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [*start, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_every_part_of_the_page_runs(folder):
    assert len(FILES) == 10
    assert len(COMMANDS) == 9
    for command in COMMANDS:  # in order: the attack reads the run before it
        done = typed(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert SAYS.get(command, "") in done.stdout + done.stderr, f"{command}\n{done.stdout}"
