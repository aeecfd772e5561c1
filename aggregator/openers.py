"""Key holder and trustees, each started as a process of its own: no private key enters the aggregator's."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection

from fedlearn.errors import FedlearnError, OpeningRefused, ProtocolError
from fedlearn.protocol import (
    AGGREGATOR,
    Message,
    Opened,
    OpenerKey,
    OpenRequest,
    Refusal,
    RunPlan,
    Step,
    party_name,
)
from fedlearn.registry import Entry
from fedlearn.secure.base import Opener, OpenerSpec

PATIENCE = 2.0  # seconds that an opener is given to end by itself


class Openers:
    """The openers of one session, and the pipes to them: only messages pass."""

    def __init__(self, specs: Sequence[OpenerSpec], session: bytes):
        self._session = session
        self._processes = {spec.party: _OpenerProcess(spec, session) for spec in specs}

    def keys(self) -> dict[int, bytes]:
        """The first message of each: an `OpenerKey`."""
        return {party: process.receive() for party, process in self._processes.items()}

    def join(self, plan: bytes) -> None:
        """Tell each what all parties agreed on; it refuses a plan with another key than its own."""
        for process in self._processes.values():
            process.send(plan)

    def ask(self, requests: Mapping[int, bytes]) -> dict[int, bytes]:
        """Send each its message, then collect the answers: `Opened` or `Refusal` messages."""
        for party, request in requests.items():
            self._processes[party].send(request)
        return {party: self._processes[party].receive() for party in requests}

    def close(self) -> None:
        for process in self._processes.values():
            process.close()


class _OpenerProcess:
    def __init__(self, spec: OpenerSpec, session: bytes):
        context = get_context("spawn")
        self._name = party_name(spec.party)
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, spec, session), name=self._name, daemon=True)
        self._process.start()
        theirs.close()

    def send(self, data: bytes) -> None:
        try:
            self._connection.send_bytes(data)
        except OSError:
            raise self._gone() from None

    def receive(self) -> bytes:
        try:
            return self._connection.recv_bytes()
        except (EOFError, OSError):
            raise self._gone() from None

    def _gone(self) -> FedlearnError:
        self._process.join(PATIENCE)
        return FedlearnError(
            f"{self._name} ended (exit status {self._process.exitcode}) and its key with it: "
            "start the run again, or go on from its last checkpoint with --resume"
        )

    def close(self) -> None:
        self._connection.close()
        self._process.join(PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(connection: Connection, spec: OpenerSpec, session: bytes) -> None:
    """An opener's life: make a key, learn the plan, open sums until the aggregator closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the aggregator's to handle
    opener: Opener = Entry(spec.factory, "").load()(**spec.arguments)

    def say(step: Step, body: OpenerKey | Opened | Refusal) -> None:
        connection.send_bytes(Message(session, step, spec.party, AGGREGATOR, body).to_bytes())

    try:
        say(Step(0), OpenerKey(opener.public_key()))
        plan = Message.from_bytes(connection.recv_bytes()).expect(RunPlan, session=session, sender=AGGREGATOR)
        mine = plan.keys.get(spec.party) == opener.public_key()
        while True:
            step, body = _answer(opener, session, connection.recv_bytes(), mine)
            say(step, body)
    except (EOFError, OSError):
        return


def _answer(opener: Opener, session: bytes, data: bytes, mine: bool) -> tuple[Step, Opened | Refusal]:
    step = Step(0)
    try:
        message = Message.from_bytes(data)
        step = message.step
        request = message.expect(OpenRequest, session=session, sender=AGGREGATOR)
        if not mine:
            raise OpeningRefused("the run plan names another key than this opener's")
        return step, Opened(opener.open(session, step, request.payload))
    except (OpeningRefused, ProtocolError) as error:
        return step, Refusal(str(error))
