"""`secure_mod`: a Flower app's replies leave a node encrypted and signed, and so that only their sum is ever opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import partial

import numpy as np
from flwr.app import Context, Message, RecordDict

from clients.encoded import Encoded
from clients.flower.opening import is_opener, opened
from clients.flower.party import HIDING, answer, policy_of
from clients.guarded import guarded
from clients.task import Task
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.flower.letters import NAME, Letter, answered
from fedlearn.flower.reported import Reported, request_of
from fedlearn.protocol import Lost, RunPlan, TrainRequest, party_name
from fedlearn.secure.layouts import layout_of_plan

ROLE_SAID = b"opener"  # in answer to a hello
_inside: ContextVar[bool] = ContextVar("fedlearn_secure_mod", default=False)
App = Callable[[Message, Context], Message]


def secure_mod(message: Message, context: Context, call_next: App) -> Message:
    """A mod for `@app.train` and `@app.evaluate`; it must be the first, so that no other sees what leaves the node.

    It follows the plan of a server whose strategy is wrapped in `SecureSums`. To any other it answers with an error,
    and no arrays. Errors of the app stay at the node: its own log has them, the server is told a code.
    """
    if _inside.get():
        raise ProtocolError("secure_mod stands twice in the ClientApp's mods: once, as the first, is enough")
    letter = Letter.of(message.content)
    if letter is None:
        raise ProtocolError(
            "this ClientApp answers under secure sums only (secure_mod): wrap the server's strategy in SecureSums"
        )
    if is_opener(context):
        return answered(ROLE_SAID if letter.ask == Letter.HELLO else opened(letter, context), message)
    if letter.ask == Letter.HELLO:
        return answered(b"client", message)
    app = _App(message, context, call_next)
    token = _inside.set(True)
    try:
        return answered(answer(letter, context, app, policy_of(context.node_config, HIDING)), message)
    finally:
        _inside.reset(token)


class _App:
    """The app behind the mod, in the place of a node's clients: what it does follows from the plan."""

    def __init__(self, message: Message, context: Context, call_next: App):
        self._records = RecordDict({name: record for name, record in message.content.items() if name != NAME})
        message.content = self._records
        self._message, self._context, self._call_next = message, context, call_next

    def work(self, plan: RunPlan) -> _Replies:
        return _Replies(plan, self._records, lambda: self._call_next(self._message, self._context))


class _Replies:
    """The work of a plan for Flower apps: the app's own reply, in lanes."""

    def __init__(self, plan: RunPlan, sent: RecordDict, reply: Callable[[], Message]):
        self._reported = Reported.from_dict(plan.strategy)
        self.layout = layout_of_plan(plan)
        self._codec = FixedPoint.from_dict(plan.protection["arguments"]["codec"])
        if self.layout != self._reported.layout(self._codec):
            raise ProtocolError("the plan's layout is not that of its replies")
        self._sent, self._reply = sent, reply

    def check(self, request: TrainRequest) -> None:
        """Raise `ProtocolError` unless the arrays that came are those that the request names."""
        if request.to_bytes() != request_of(self._sent).to_bytes():
            raise ProtocolError("the arrays are not those that the request names: a replay?")

    def updates(self, numbers: Iterable[int], task: Task) -> Iterator[Encoded | Lost]:
        for number in numbers:
            yield guarded(number, party_name(number), task.round, partial(self._encoded, number))

    def _encoded(self, number: int) -> Encoded:
        reply = self._reply()
        if not isinstance(reply, Message):
            raise BadInput(f"the app returned a {type(reply).__name__}, a Message is needed")
        if reply.has_error():
            raise BadInput(f"the app answered with an error: {reply.error.reason}")
        update = self._reported.update(self._sent, reply.content)
        self._reported.check_bounds(update, self._sent, reply.content, self._codec)
        return Encoded([number], np.atleast_2d(self.layout.encode(update)))
