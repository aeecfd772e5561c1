"""Key holder and trustees, each started as a process of its own: no private key enters the aggregator's."""

from __future__ import annotations

import logging
import math
import signal
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from fedlearn.channel import Arrivals, Channel, Deadline
from fedlearn.children import end_of, signals_later, start_shielded
from fedlearn.errors import CryptoKeyError, FedlearnError, ProtocolError
from fedlearn.protocol import AGGREGATOR, Message, Refusal, Step, party_name
from fedlearn.registry import find, importing_nothing
from fedlearn.secure.base import DealerSpec, Opener, OpenerSpec, Protection
from fedlearn.secure.desk import Desk
from fedlearn.secure.pki import Pki
from fedlearn.travel import packed, unpacked

log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds that an opener is given to end by itself
GRACE = 1.0  # seconds that openers are waited for beside what the others took
UNASKED = 1000  # messages beside answers that an opener may send while one is waited for: else it could do so for ever


class Openers:
    """The openers of one session, and the pipes to them: only messages pass.

    memory: a folder in which each keeps what it opened, for sessions that go on with the run; None where there will be
    none. deadline: how long an answer is waited for. An opener that ends, or is silent for so long while its answer is
    needed, is gone; whether the others can do without it is for the protection to say. pki: what they check the plan's
    roster of clients with. named: classes that the plan will name, each `module:Class`. coins: what secret cohorts
    follow from, for those who could read single updates.

    gone: by party, why. absent: by name, who gave no answer in this round, and why; emptied by who begins one
    """

    def __init__(
        self,
        protection: Protection,
        session: bytes,
        memory: Path | None = None,
        deadline: float | None = None,
        pki: Pki | None = None,
        named: Collection[str] = (),
        coins: bytes | None = None,
    ):
        self._vault = TemporaryDirectory(prefix="fedlearn-openers-")  # of mode 0700
        self._told = deadline
        self._deadline = Deadline(deadline)  # of a message that an opener takes
        self._deadlines: dict[str, Deadline] = {}  # of its answers, by phase: an echo is quick, an opening is not
        self._arrived = Arrivals()
        self._processes: dict[int, _OpenerProcess] = {}
        self._keys: dict[int, bytes] = {}
        self.gone: dict[int, str] = {}
        self.absent: dict[str, str] = {}
        vault = Path(self._vault.name)
        try:
            dealer = protection.dealer(vault)
            if dealer is not None:
                _deal(dealer)
            for spec in protection.openers(vault):
                if spec.asks:
                    self.keys()  # one after another: they share a terminal
                told = spec.knowing(pki, coins)
                with signals_later():
                    self._processes[spec.party] = _OpenerProcess(told, session, memory, self._arrived, named)
        except BaseException:
            self.close()
            raise

    def keys(self) -> dict[int, bytes]:
        """The first message of each: an `OpenerKey`. Raises `CryptoKeyError` with the reason of one that has no key."""
        while waiting := [process for party, process in self._processes.items() if party not in self._keys]:
            asked = any(process.asks for process in waiting)  # a person, who may take time
            process, message = self._next(math.inf if asked else self._arrived.waited + Deadline.FIRST)
            if process is None:
                names = ", ".join(process.name for process in waiting)
                raise FedlearnError(f"{names} had no key after {Deadline.FIRST:.0f} s: start the run again")
            self._keys[process.party] = _checked(process, message)
        return self._keys

    def tell(self, message: bytes) -> None:
        """Send all of them a message that needs no answer: the plan, a client's signed update."""
        for party in self._processes:
            self._send(party, message)

    def ask(self, requests: Mapping[int, bytes], take: Callable[[int, bytes], bool], enough: int | None = None) -> None:
        """Send each its message, then hand over the answers as they come: take(party, message).

        take: says whether an answer counts. enough: so many that count do; others are then waited for as long again,
        and no longer. None waits for all.
        """
        for party, request in requests.items():
            self._send(party, request)
        deadline = self._deadline_of(requests)
        began, limit = self._arrived.waited, deadline.seconds
        answered: set[int] = set()
        unasked: Counter[int] = Counter()  # by party, messages that are no answer or one to an earlier request
        good, until = 0, began + limit
        while waiting := requests.keys() - answered - self.gone.keys():
            process, message = self._next(until)
            if process is None:
                break
            if message is None:
                self._give_up(process, process.ended())
            elif process.party in waiting and _answers(message, requests[process.party]):
                elapsed = self._arrived.waited - began
                answered.add(process.party)
                good += take(process.party, message)
                self._deadline.note(elapsed)
                deadline.note(elapsed)
                if enough is not None and good >= enough:
                    until = min(until, began + as_long_again(elapsed))
            else:
                unasked[process.party] += 1
                if unasked[process.party] == UNASKED:
                    process.kill()
                    self._give_up(process, f"{process.name} sent {UNASKED} messages that were no answer and was ended")
        self._note_absent(waiting, good >= (len(requests) if enough is None else enough), limit)

    def _deadline_of(self, requests: Mapping[int, bytes]) -> Deadline:
        """The deadline for answers to these requests, by how long those in their phase have taken."""
        phase = next((Message.from_bytes(request).step.phase for request in requests.values()), "")
        return self._deadlines.setdefault(phase, Deadline(self._told))

    def _note_absent(self, waiting: Collection[int], others_do: bool, limit: float) -> None:
        self.absent |= {party_name(party): reason for party, reason in self.gone.items()}
        for party, process in self._processes.items():
            if party not in waiting:
                continue
            if others_do:
                self.absent[process.name] = "it answered too late, others did"
                log.info("%s has not answered yet; others did", process.name)
            else:
                process.kill()
                self._give_up(process, f"{process.name} said nothing for {limit:.0f} s and was ended")
                self.absent[process.name] = self.gone[party]

    def _send(self, party: int, message: bytes) -> None:
        if party in self.gone:
            return
        process, limit = self._processes[party], self._deadline.seconds
        if not process.channel.send(message, limit):
            process.kill()
            self._give_up(process, f"{process.name} took no message for {limit:.0f} s and was ended")

    def _give_up(self, process: _OpenerProcess, reason: str) -> None:
        self.gone[process.party] = reason
        log.warning("%s", reason)

    def _next(self, until: float) -> tuple[_OpenerProcess, bytes | None] | tuple[None, None]:
        """The next message of any opener, None where it has ended; (None, None) where nothing comes until then."""
        arrived = self._arrived.get(until)
        if arrived is None:
            return None, None
        channel, message = arrived
        return next(process for process in self._processes.values() if process.channel is channel), message

    @property
    def left(self) -> int:
        """How many are not gone."""
        return len(self._processes) - len(self.gone)

    def close(self) -> None:
        for process in self._processes.values():
            process.close()
        self._vault.cleanup()


def as_long_again(elapsed: float) -> float:
    """When the last openers are waited for no more, after enough have answered in so many seconds."""
    return 2 * elapsed + GRACE


def _answers(message: bytes, request: bytes) -> bool:
    """True if a message may be meant as the answer to this request; else it answers an earlier one."""
    try:
        return Message.from_bytes(message).step == Message.from_bytes(request).step
    except ProtocolError:
        return True


def _checked(process: _OpenerProcess, message: bytes | None) -> bytes:
    """The message that shows an opener's key."""
    if message is None:
        raise FedlearnError(f"{process.ended()} before it had a key: its error stands above")
    body = Message.from_bytes(message).body
    if isinstance(body, Refusal):
        raise CryptoKeyError(body.reason)
    return message


def _deal(dealer: DealerSpec) -> None:
    process = get_context("spawn").Process(target=_run_dealer, args=(packed(dealer, [dealer.factory]),), name="dealer")
    start_shielded(process)
    try:
        process.join(Deadline.FIRST)
        late = process.is_alive()
    finally:
        end_of(process, 0.0)
    if late:
        raise FedlearnError(f"the dealer had no key after {Deadline.FIRST:.0f} s: start the run again")
    if process.exitcode:
        raise FedlearnError(f"the dealer ended with exit status {process.exitcode}: its error stands above")


def _run_dealer(data: bytes) -> None:
    dealer: DealerSpec = unpacked(data)
    find(dealer.factory)(**dealer.arguments)


class _OpenerProcess:
    """The aggregator's end of one opener."""

    def __init__(
        self, spec: OpenerSpec, session: bytes, memory: Path | None, arrived: Arrivals, named: Collection[str]
    ):
        context = get_context("spawn")
        self.party = spec.party
        self.asks = spec.asks
        self.name = party_name(spec.party)
        ours, theirs = context.Pipe()
        file = None
        if memory is not None:
            memory.mkdir(mode=0o700, exist_ok=True)
            file = memory / self.name.replace(":", "-")
        self._process = context.Process(
            target=_serve,
            args=(theirs, packed(spec, [spec.factory, *named]), session, file),
            name=self.name,
            daemon=True,
        )
        start_shielded(self._process)
        theirs.close()
        self.channel = Channel(ours, arrived)

    def ended(self) -> str:
        return f"{self.name} ended ({end_of(self._process, PATIENCE)})"

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def close(self) -> None:
        self.channel.close()
        end_of(self._process, PATIENCE)


def _serve(connection: Connection, data: bytes, session: bytes, memory: Path | None) -> None:
    """An opener's life: show its key, learn the plan, note updates and open sums until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the aggregator's to handle
    spec: OpenerSpec = unpacked(data)

    try:
        opener: Opener = find(spec.factory)(**spec.arguments)
        opener.coins = spec.coins
        if memory is not None:
            opener.recall(memory)
    except CryptoKeyError as error:
        refusal = Refusal(str(error))
        connection.send_bytes(Message(session, Step(0), spec.party, AGGREGATOR, refusal).to_bytes())
        return
    desk = Desk(opener, spec.party, session, spec.pki)
    with suppress(EOFError, OSError), importing_nothing():  # others name things in what comes now
        connection.send_bytes(desk.key())
        desk.join(connection.recv_bytes())
        while True:
            answer = desk.receive(connection.recv_bytes())
            if answer is not None:
                connection.send_bytes(answer)
