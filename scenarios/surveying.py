"""Evaluation by clients in a run, as `--evaluate` says: from opened sums, or one by one where each can be read."""

from __future__ import annotations

from typing import Any

from aggregator import Survey
from clients import ClientSource, InlinePool
from fedlearn.errors import BadInput
from fedlearn.spec import construct
from scenarios.command import build
from scenarios.command.options import Options


def surveyed(options: Options, clients: ClientSource, classes: int, **usual: Any) -> Survey | bool:
    """The survey of these clients; True where each is asked by itself, False where the held-out data are enough.

    usual: settings of a `Survey` where --evaluate does not say them.
    """
    policy = build.policy(options)
    who, _, settings = options.evaluate.partition(":")
    if who == "clients":
        made: Survey = construct(
            Survey, settings or None, "--evaluate clients", lambda: InlinePool(clients, policy), classes, **usual
        )
        return made
    if who not in ("test", "each") or settings:
        raise BadInput(f"--evaluate {options.evaluate}: choose test, clients, clients:clip=20 or each")
    return who == "each"
