"""A Flower `Grid` whose nodes are in this process, or in workers that it started: what a ServerApp talks to."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from clients.flower import internals
from clients.flower.nodes import FIRST_NODE, Answer, Nodes, Terms, partition
from clients.flower.seeds import kept
from fedlearn.errors import BadInput, ClientFailure
from fedlearn.flower.letters import NAME
from fedlearn.wording import many

log = logging.getLogger(__name__)

ASKED_AGAIN = 0.5  # seconds between two looks at the nodes of an app that waits for more
LOOKS = 3  # so often in a row it may look: nodes never become more here

Told = Callable[[str, int, int], None]  # is told what is being done, how many messages are answered, and of how many


class Runner(Protocol):
    """Has messages answered, wherever their nodes are."""

    def answers(self, messages: Sequence[Message], until: float) -> Iterator[tuple[int, Answer]]: ...


class Inline:
    """One after the other, in this process, whose own random numbers are afterwards what they were."""

    def __init__(self, nodes: Nodes):
        self._nodes = nodes

    def answers(self, messages: Sequence[Message], until: float) -> Iterator[tuple[int, Answer]]:
        with kept():
            for number, message in enumerate(messages):
                if time.monotonic() >= until:
                    return
                yield number, self._nodes.answer(message)


class DirectGrid(Grid):
    """Messages are answered when their replies are asked for; replies stand in the order of the messages.

    messages, failures: how many were answered so far, and how many of these by an error.
    """

    def __init__(self, runner: Runner, terms: Terms, told: Told):
        self._runner, self._terms, self._told = runner, terms, told
        self._lock = threading.RLock()  # apps of the older kind ask from several threads
        self._waiting: dict[str, Message] = {}
        self._sent = 0
        self._looks: list[float] = []
        self._shown: set[str] = set()
        self.messages = self.failures = 0

    def set_run(self, run: Any) -> None:
        """There is but one run."""

    @property
    def run(self) -> Any:
        return internals.run_named(self._terms.run_id)

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """All nodes, always. Raises `BadInput` where the main thread seems to wait for more of them."""
        if threading.current_thread() is threading.main_thread():
            self._refuse_to_be_waited_for()
        return list(range(FIRST_NODE, FIRST_NODE + self._terms.nodes))

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        with self._lock:
            ids = []
            for message in messages:
                if not 0 <= partition(message) < self._terms.nodes:
                    raise BadInput(
                        f"a message is for node {message.metadata.dst_node_id}, which is none of the "
                        f"{many(self._terms.nodes, 'node')}: take ids from grid.get_node_ids()"
                    )
                self._sent += 1
                ids.append(str(self._sent))
                internals.stamp(message, ids[-1], self._terms.run_id)
                self._waiting[ids[-1]] = message
            self._looks.clear()
            return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return self._replies(message_ids, math.inf)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        until = math.inf if timeout is None else time.monotonic() + timeout
        return self._replies(self.push_messages(messages), until)

    def _replies(self, ids: Iterable[str], until: float) -> list[Message]:
        with self._lock:
            asked = [self._waiting.pop(each) for each in list(ids) if each in self._waiting]
            answers: dict[int, Answer] = {}
            what = about(asked[0]) if asked else ""
            for number, answer in self._runner.answers(asked, until):
                answers[number] = answer
                self._told(what, len(answers), len(asked))
            if len(answers) < len(asked):
                nodes = many(len(asked), "node")
                log.warning("%s: %s of %s not reached in time", what, f"{len(asked) - len(answers):,}", nodes)
            self._tell_failures(asked, answers)
            return [answers[number].reply for number in sorted(answers)]

    def _tell_failures(self, asked: Sequence[Message], answers: dict[int, Answer]) -> None:
        """Show each traceback once, and raise the first where no node could train."""
        self.messages += len(answers)
        failed = {number: answers[number] for number in sorted(answers) if answers[number].reply.has_error()}
        self.failures += len(failed)
        if not failed:
            return
        number, first = next(iter(failed.items()))
        if len(failed) == len(asked) and _trains(asked[number]):
            raise ClientFailure(
                f"{about(asked[number])}: each of the {many(len(asked), 'node')} failed, the first at partition-id "
                f"{partition(asked[number])}:\n{first.trace or first.reply.error.reason}"
            ) from first.error
        kinds = Counter(answer.trace or answer.reply.error.reason for answer in failed.values())
        for number, answer in failed.items():
            text = answer.trace or answer.reply.error.reason
            if text not in kinds:
                continue
            alike = kinds.pop(text) - 1
            more = f", and {many(alike, 'more node')} alike" if alike else ""
            shown = answer.reply.error.reason if text in self._shown else text
            self._shown.add(text)
            where = f"{about(asked[number])}, node with partition-id {partition(asked[number])}"
            log.error("%s failed%s:\n%s", where, more, shown)

    def _refuse_to_be_waited_for(self) -> None:
        now = time.monotonic()
        if not self._looks or now - self._looks[-1] > ASKED_AGAIN:
            self._looks.append(now)
        if len(self._looks) > LOOKS:
            raise BadInput(
                f"the app waits for more nodes than the {self._terms.nodes} there are: give more nodes, or lower its "
                "min_available_nodes, min_train_nodes and min_evaluate_nodes"
            )


def _trains(message: Message) -> bool:
    """True if a message asks an app to train and holds no letter of ours, whose sender looks after it."""
    return str(message.metadata.message_type).startswith("train") and NAME not in message.content


def about(message: Message) -> str:
    """The kind of a message, and its round where it says one: "train, round 3"."""
    config = {}
    for record in message.content.config_records.values():
        config.update(record)
    round = config.get("server-round", message.metadata.group_id)
    return f"{message.metadata.message_type}, round {round}" if round else str(message.metadata.message_type)
