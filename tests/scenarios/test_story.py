"""How a story's run folder ends when the story does not."""

from __future__ import annotations

import json

import pytest

from aggregator import RunFolder
from scenarios.story import keeping


def test_whoever_interrupts_a_story_is_not_told_to_resume_a_run_within_it(tmp_path):
    interrupt = KeyboardInterrupt()
    interrupt.add_note(f"go on with --resume --out {tmp_path / 'run' / 'inner'}")
    with pytest.raises(KeyboardInterrupt) as caught, keeping(RunFolder(tmp_path / "run", {}, {})):
        raise interrupt
    assert caught.value.__notes__ == ["a story cannot be resumed: run it again"]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]["state"] == "interrupted"
