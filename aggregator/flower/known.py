"""A Flower `Grid` that shows only some of its nodes: those that are in the session's roster, or that open no sums."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid


class KnownNodes(Grid):
    """The same grid, with these nodes of it."""

    def __init__(self, grid: Grid, known: Iterable[int]):
        self._grid, self._known = grid, frozenset(known)

    def get_node_ids(self) -> list[int]:
        return [node for node in self._grid.get_node_ids() if node in self._known]

    def set_run(self, run: Any) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return list(self._grid.push_messages(messages))

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return list(self._grid.pull_messages(message_ids))

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        return list(self._grid.send_and_receive(messages, timeout=timeout))


class Others(KnownNodes):
    """The same grid, without these nodes of it."""

    def get_node_ids(self) -> list[int]:
        return [node for node in self._grid.get_node_ids() if node not in self._known]
