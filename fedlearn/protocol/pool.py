"""The seam between the aggregator and whatever runs the clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fedlearn.protocol.messages import Step
from fedlearn.protocol.parties import ClientId


@dataclass(frozen=True)
class Reply:
    """The answer of one client in a step: the bytes of its message."""

    client: ClientId
    data: bytes

    @property
    def clients(self) -> tuple[ClientId, ...]:
        return (self.client,)


@dataclass(frozen=True)
class Partial:
    """The answers of several clients in a step, added up: the bytes of a `PartialSum` message."""

    clients: tuple[ClientId, ...]
    data: bytes


@dataclass(frozen=True)
class Lost:
    """A client that did not answer, as its pool knows it. A client under a protection says no more than a `Loss`.

    reason   one line: the exception, or how its worker ended
    again    the fault was the pool's (a killed worker), so the step can be tried again with this client
    refused  the client's own input was at fault (a `BadInput`): it would be so again
    trace    the traceback of any other exception in the client's own work, "" where it is not told, or another
             client's came along; None where there was none
    """

    client: ClientId
    reason: str
    again: bool = False
    refused: bool = False
    trace: str | None = field(default=None, compare=False)

    @property
    def clients(self) -> tuple[ClientId, ...]:
        return (self.client,)


Answer = Reply | Partial | Lost


class Pool(Protocol):
    """Runs the clients of one session, wherever they live. A pool serves one session at a time.

    `open` gets the clients ready; `enrol` returns each client's `Enrolment` message, where a protection has
    clients sign; `start` tells all of them the plan, a whole message. log: the file for what clients under a protection
    say of their own work, not for the aggregator's eyes; None leaves it to their processes. `exchange` sends every
    client of `inboxes` the broadcast and its own inbox, whole messages or empty; each is in one Reply, Partial or Lost
    that it yields, in any order. Partials only where the plan's kernels say "fold". What is neither a client's fault
    nor the end of its worker, such as a full disk, is raised as `PoolFailure` or `OSError` and ends the run.

    `settle` is called only where the strategy has clients keep state between rounds, `remember` there and where the
    protection has clients remember what they revealed, once after `start`. `clients.memory.ClientMemory` does the work
    of both; a pool tells its sessions the folder.
    """

    def __len__(self) -> int: ...

    def open(self) -> None: ...

    def enrol(self, session: bytes) -> list[bytes]: ...

    def start(self, plan: bytes, log: Path | None = None) -> None: ...

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[ClientId, bytes]) -> Iterator[Answer]: ...

    def remember(self, folder: Path, round: int, counted: Sequence[ClientId] = ()) -> None:
        """Have clients keep their state in `folder`, which all workers see, and go on from that after `round`.

        counted: clients in the opened sum of that round who may not have been told so. What was kept of later rounds
        is forgotten. Who trains a client writes its new state there before it answers, so that no worker's end loses
        one; nothing in the folder is for the aggregator's eyes.
        """
        ...

    def settle(self, notice: bytes, clients: Sequence[ClientId], rounds: Sequence[int]) -> None:
        """Tell these clients that the round of `notice`, a whole `Counted` message, counted with their updates.

        They keep the state that came of it; everybody else's stays as it was before the round. rounds: those after
        which the run may be resumed one day; what none of them needs is deleted.
        """
        ...

    def close(self) -> None: ...
