"""The tutorials run from the first cell to the last, and no output of theirs is kept.

Skipped without the extra `notebooks`.
"""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "tutorials").glob("*.ipynb"))


def cells(path: Path, kind: str) -> list[dict]:
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def test_there_are_four():
    assert len(TUTORIALS) == 4


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_it_is_small_plain_and_without_outputs(path):
    code = cells(path, "code")
    assert path.stat().st_size < 20_000
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    for cell in code:
        ast.parse("".join(cell["source"]))  # no magic, no command of a shell
    assert "".join(cells(path, "markdown")[0]["source"]).startswith("# ")


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, monkeypatch):
    for needs in ("nbclient", "ipykernel", "pandas", "matplotlib", "sklearn"):
        pytest.importorskip(needs, reason="pip install 'fedlearn[notebooks,plots,datasets]'")
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in shown if output["output_type"] == "error"]
    data = [output.get("data", {}) for output in shown]
    said = [each.get("text/plain", "") for each in data] + [output.get("text", "") for output in shown]
    CHECKS[path.stem]("\n".join(said))
    kinds = {kind for each in data for kind in each}
    assert WITH[path.stem] <= kinds


def first_hour(said: str) -> None:
    assert said.count("<History of ") == 2
    assert "same bits   True" in said
    assert "'win a free prize now': 'spam', 'see you at nine tomorrow': 'ham'" in said


def own_mail(said: str) -> None:
    assert "<Corpus mail: 180 messages (120 ham, 60 spam), 3 users>" in said
    assert "{'anna': 1.0, 'boris': 1.0, 'chloe': 1.0}" in said


def curious_server(said: str) -> None:
    assert "['sum']" in said
    assert said.count("'password'") == 2  # in Bob's plain update, and as the difference of two sums
    assert "'diagnosis'" not in said


def prices(said: str) -> None:
    assert "threshold 2 of 3, 512 bits" in said
    assert "epsilon=1,clip=0.5" in said


CHECKS = {"first_hour": first_hour, "own_mail": own_mail, "curious_server": curious_server, "prices": prices}
WITH = {  # what it shows beside text
    "first_hour": {"text/html", "image/png"}, "own_mail": {"text/html"}, "curious_server": set(),
    "prices": {"text/html", "image/png"},
}  # fmt: skip
