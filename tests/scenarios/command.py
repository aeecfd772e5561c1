"""Running the command in the test's own process."""

from __future__ import annotations

import json

from scenarios.command.main import main


def fedlearn(*arguments: str) -> int:
    """Exit status of the command."""
    try:
        main(list(arguments))
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def last_of_each(*words: str) -> list[str]:
    """The words, of an option that stands twice its last: usual options, and others in their place."""
    earlier = [i for i, word in enumerate(words) if word.startswith("--") and word in words[i + 1 :]]
    values = [i + 1 for i in earlier if not words[i + 1].startswith("--")]
    return [word for i, word in enumerate(words) if i not in (*earlier, *values)]


def refusal(capsys) -> str:
    """The one line in which a command told why it did not do what was asked."""
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("fedlearn: "))
    return line


def last_json(capsys) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])
