"""How a story is started, and how its run folder ends when the story does not."""

from __future__ import annotations

import json
import runpy
import sys

import pytest

from aggregator import RunFolder
from scenarios import SCENARIOS
from scenarios.story import keeping


def test_whoever_interrupts_a_story_is_not_told_to_resume_a_run_within_it(tmp_path):
    interrupt = KeyboardInterrupt()
    interrupt.add_note(f"go on with --resume --out {tmp_path / 'run' / 'inner'}")
    with pytest.raises(KeyboardInterrupt) as caught, keeping(RunFolder(tmp_path / "run", {}, {})):
        raise interrupt
    assert caught.value.__notes__ == ["a story cannot be resumed: run it again"]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]["state"] == "interrupted"


@pytest.mark.parametrize("name", SCENARIOS.entries)
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_each_story_runs_as_a_module(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(f"scenarios.{name}", run_name="__main__")
    assert not end.value.code
    assert f"fedlearn run {name} " in capsys.readouterr().out
