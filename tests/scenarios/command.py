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


def last_json(capsys) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])
