"""A Flower `Grid` as a wrapped strategy sees it: some of its nodes, and it is not waited for more of them for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedlearn.errors import BadInput


class ChosenNodes(Grid):
    """The same grid, with those of its nodes that are `chosen`, for one round.

    patience: seconds in which a strategy may ask for nodes; Flower's own wait for as many as they want.
    """

    def __init__(self, grid: Grid, chosen: Callable[[int], bool], patience: float):
        self._grid, self._chosen, self._patience = grid, chosen, patience
        self._made = time.monotonic()

    def get_node_ids(self) -> list[int]:
        """Raises `BadInput` where the strategy still waits for more of them."""
        nodes = [node for node in self._grid.get_node_ids() if self._chosen(node)]
        if time.monotonic() - self._made > self._patience:
            raise BadInput(
                f"the strategy waits for more nodes than the {len(nodes)} that are there, for {self._patience:.0f} s "
                "now: start more, or lower its min_available_nodes and min_train_nodes"
            )
        return nodes

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
