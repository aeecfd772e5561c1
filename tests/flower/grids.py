"""A `Grid` that only knows its nodes, for strategies that are asked by hand."""

from __future__ import annotations

from flwr.serverapp import Grid


class StillGrid(Grid):
    def __init__(self, nodes):
        self._nodes = list(nodes)

    run = None

    def set_run(self, run): ...

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):
        raise NotImplementedError

    def get_node_ids(self):
        return self._nodes

    def push_messages(self, messages):
        raise NotImplementedError

    def pull_messages(self, message_ids):
        raise NotImplementedError

    def send_and_receive(self, messages, *, timeout=None):
        raise NotImplementedError
