"""Key holder and trustees, each started as a process of its own: no private key enters the aggregator's."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from fedlearn.children import start_shielded
from fedlearn.errors import CryptoKeyError, FedlearnError, OpeningRefused, ProtocolError
from fedlearn.protocol import (
    AGGREGATOR,
    Message,
    Opened,
    OpenerKey,
    OpenRequest,
    Refusal,
    RunPlan,
    Step,
    Update,
    party_name,
)
from fedlearn.registry import find
from fedlearn.secure.base import DealerSpec, Opener, OpenerSpec, Protection
from fedlearn.secure.signed import check_signed
from fedlearn.travel import packed, unpacked

log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds that an opener is given to end by itself


class Openers:
    """The openers of one session, and the pipes to them: only messages pass.

    An opener that ends is gone; whether the others can do without it is for the protection to say.
    """

    def __init__(self, protection: Protection, session: bytes, memory: Path | None = None):
        self._vault = TemporaryDirectory(prefix="fedlearn-openers-")  # of mode 0700
        vault = Path(self._vault.name)
        dealer = protection.dealer(vault)
        if dealer is not None:
            _deal(dealer)
        self._processes: dict[int, _OpenerProcess] = {}
        self._keys: dict[int, bytes] = {}
        self.gone: dict[int, str] = {}
        if memory is not None:
            memory.mkdir(mode=0o700, exist_ok=True)
        try:
            for spec in protection.openers(vault):
                if spec.asks:
                    self.keys()  # one after another: they share a terminal
                self._processes[spec.party] = _OpenerProcess(spec, session, memory)
        except BaseException:
            self.close()
            raise

    def keys(self) -> dict[int, bytes]:
        """The first message of each: an `OpenerKey`. Raises `CryptoKeyError` with the reason of one that has no key."""
        for party, process in self._processes.items():
            if party not in self._keys:
                self._keys[party] = _checked(process, process.receive())
        return self._keys

    def tell(self, message: bytes) -> None:
        """Send all of them a message that needs no answer: the plan, a client's signed update."""
        for process in self._processes.values():
            process.send(message)

    def ask(self, requests: Mapping[int, bytes]) -> dict[int, bytes]:
        """Send each its message, then collect the answers, `Opened` or `Refusal`, of those that still live."""
        for party, request in requests.items():
            self._processes[party].send(request)
        replies = {party: self._processes[party].receive() for party in requests}
        self.gone = {party: self._processes[party].ended() for party, reply in replies.items() if reply is None}
        return {party: reply for party, reply in replies.items() if reply is not None}

    def close(self) -> None:
        for process in self._processes.values():
            process.close()
        self._vault.cleanup()


def _checked(process: _OpenerProcess, message: bytes | None) -> bytes:
    """The message that shows an opener's key."""
    if message is None:
        raise FedlearnError(f"{process.ended()} before it had a key: its error stands above")
    body = Message.from_bytes(message).body
    if isinstance(body, Refusal):
        raise CryptoKeyError(body.reason)
    return message


def _deal(dealer: DealerSpec) -> None:
    process = get_context("spawn").Process(
        target=_run_dealer, args=(packed(dealer, [dealer.factory]),), name="dealer", daemon=True
    )
    start_shielded(process)
    process.join()
    if process.exitcode:
        raise FedlearnError(f"the dealer ended with exit status {process.exitcode}: its error stands above")


def _run_dealer(data: bytes) -> None:
    dealer: DealerSpec = unpacked(data)
    find(dealer.factory)(**dealer.arguments)


class _OpenerProcess:
    def __init__(self, spec: OpenerSpec, session: bytes, memory: Path | None):
        context = get_context("spawn")
        self._name = party_name(spec.party)
        self._connection, theirs = context.Pipe()
        file = None if memory is None else memory / self._name.replace(":", "-")
        self._process = context.Process(
            target=_serve, args=(theirs, packed(spec, [spec.factory]), session, file), name=self._name, daemon=True
        )
        start_shielded(self._process)
        theirs.close()

    def send(self, data: bytes) -> None:
        with suppress(OSError):  # it is gone: its missing answer says so
            self._connection.send_bytes(data)

    def receive(self) -> bytes | None:
        """Its next message, or None where it is gone."""
        try:
            return self._connection.recv_bytes()
        except (EOFError, OSError):
            return None

    def ended(self) -> str:
        self._process.join(PATIENCE)
        return f"{self._name} ended (exit status {self._process.exitcode})"

    def close(self) -> None:
        self._connection.close()
        self._process.join(PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(connection: Connection, data: bytes, session: bytes, memory: Path | None) -> None:
    """An opener's life: show its key, learn the plan, note updates and open sums until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the aggregator's to handle
    spec: OpenerSpec = unpacked(data)

    def say(step: Step, body: OpenerKey | Opened | Refusal) -> None:
        connection.send_bytes(Message(session, step, spec.party, AGGREGATOR, body).to_bytes())

    try:
        opener: Opener = find(spec.factory)(**spec.arguments)
        if memory is not None:
            opener.recall(memory)
    except CryptoKeyError as error:
        say(Step(0), Refusal(str(error)))
        return
    with suppress(EOFError, OSError):
        say(Step(0), OpenerKey(opener.public_key()))
        plan = Message.from_bytes(connection.recv_bytes()).expect(RunPlan, session=session, sender=AGGREGATOR)
        opener.join(plan)
        while True:
            message = Message.from_bytes(connection.recv_bytes())
            if isinstance(message.body, Update):
                _note(opener, plan, message)
            else:
                say(message.step, _answer(opener, spec.party, plan, message))


def _note(opener: Opener, plan: RunPlan, message: Message) -> None:
    try:
        update = message.expect(Update, session=plan.session)
        opener.submit(message.step, message.sender, check_signed(plan, message.step, message.sender, update.payload))
    except ProtocolError as error:
        opener.complain(str(error))


def _answer(opener: Opener, party: int, plan: RunPlan, message: Message) -> Opened | Refusal:
    try:
        request = message.expect(OpenRequest, session=plan.session, sender=AGGREGATOR)
        if plan.keys.get(party) != opener.public_key():
            raise OpeningRefused("the run plan names another key than this opener's")
        return Opened(opener.open(message.step, request.payload))
    except FedlearnError as error:
        return Refusal(str(error))
    except Exception as error:  # whatever it is: an opener that ends would take its key along
        log.exception("%s could not open a sum", party_name(party))
        return Refusal(f"failed ({type(error).__name__}): see this opener's own log")
