"""Nodes of a Flower app in this process: each has a context of its own, and its own random numbers."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flwr.app import Context, Message, RecordDict

from clients.flower import internals
from clients.flower.seeds import seed_all

FIRST_NODE = 1_000_000  # the id of the node with partition-id 0; the server's is 1


@dataclass(frozen=True)
class Terms:
    """The facts that all nodes of a run know. nodes: how many there are. run_config: the app's own values.

    node_config: from a partition-id, the values of that node's own.
    """

    nodes: int
    seed: int
    run_id: int
    run_config: Mapping[str, Any] = field(default_factory=dict)
    node_config: Callable[[int], Mapping[str, Any]] | None = None


class Answer(NamedTuple):
    """A node's reply, and where the app raised the traceback, and in this process the exception too."""

    reply: Message
    trace: str = ""
    error: BaseException | None = None


class Nodes:
    """Any number of the nodes of a run; a node's context is made when its first message comes.

    client_app: a Flower `ClientApp`, or any function of a message and a context that gives a message.
    """

    def __init__(self, client_app: Callable[[Message, Context], Message], terms: Terms):
        self._app = client_app
        self.terms = terms
        self._contexts: dict[int, Context] = {}
        self._messages: dict[int, int] = {}

    def answer(self, message: Message) -> Answer:
        """The app's answer to a message to one of the nodes; the global generators are the node's afterwards."""
        node = partition(message)
        context = self._context(node)
        self._messages[node] += 1
        before = internals.copied(context.state)
        try:
            seed_all(self.terms.seed, self._messages[node], node)
            reply = self._app(_own(message), context)
            if not isinstance(reply, Message):
                raise TypeError(f"the ClientApp returned a {type(reply).__name__}, a Message is needed")
        except (Exception, SystemExit) as error:
            context.state = before
            reason = traceback.format_exception_only(error)[-1].strip()
            return Answer(internals.failed(message, reason), _trace(error), error)
        return Answer(reply)

    def _context(self, node: int) -> Context:
        if node not in self._contexts:
            self._messages[node] = 0
            own = self.terms.node_config(node) if self.terms.node_config else {}
            self._contexts[node] = Context(
                run_id=self.terms.run_id,
                node_id=FIRST_NODE + node,
                node_config={"partition-id": node, "num-partitions": self.terms.nodes, **own},
                state=RecordDict(),
                run_config=dict(self.terms.run_config),
            )
        return self._contexts[node]


def partition(message: Message) -> int:
    """The partition-id of the node that a message is for."""
    return int(message.metadata.dst_node_id) - FIRST_NODE


def _own(message: Message) -> Message:
    """The message with records of its own: strategies put the same into every node's."""
    own = Message.__new__(Message)
    own.__dict__.update(vars(message), _content=internals.copied(message.content))
    return own


def _trace(error: BaseException) -> str:
    """The traceback from where the app's own code begins."""
    frames = error.__traceback__ and error.__traceback__.tb_next
    return "".join(traceback.format_exception(type(error), error, frames)).rstrip()
