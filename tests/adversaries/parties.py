"""Parties that break the protocol, and the federation that they are in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from aggregator import Aggregator, History, RunFolder
from clients import InlinePool
from fedlearn.protocol import Answer, Lost, Message, Reply, Step
from fedlearn.secure.base import Protection
from tests.toys import toy_clients, toy_model, toy_plain, toy_strategy

Change = Callable[[int, Step, bytes], "bytes | list[bytes] | None"]


class LyingPool(InlinePool):
    """Client `liar` answers what `change` makes of its honest message; several answers, or none, are possible."""

    def __init__(self, clients, liar: int, change: Change):
        super().__init__(clients)
        self._liar, self._change = liar, change

    def exchange(self, step, broadcast, inboxes) -> Iterator[Answer]:
        for answer in super().exchange(step, broadcast, inboxes):
            if not (isinstance(answer, Reply) and answer.client == self._liar):
                yield answer
                continue
            changed = self._change(answer.client, step, answer.data)
            for data in changed if isinstance(changed, list) else [changed]:
                yield Reply(answer.client, data) if data is not None else Lost(answer.client, "vanished")


def resealed(data: bytes, **changes) -> bytes:
    """The same message with another sender, recipient, step, body..."""
    return replace(Message.from_bytes(data), **changes).to_bytes()


def trained(pool, protection: Protection, rounds: int = 1, folder: Path | None = None) -> tuple[bytes, History]:
    """A recorded run, in which nobody adds up updates before they are sent."""
    model = toy_model()
    with TemporaryDirectory() as elsewhere:
        kept = RunFolder(folder or Path(elsewhere) / "run", {}, {}, record=True)
        history = Aggregator(model, toy_strategy(), protection, seed=5, folder=kept).fit(pool, rounds)
    return model.vector.tobytes(), history


@cache
def honest_rest(without: int, count: int, rounds: int = 1) -> bytes:
    """The model of a federation in which one client never answers; it is the same under every protection."""
    return trained(LyingPool(toy_clients(count), without, lambda *_: None), toy_plain(), rounds)[0]
