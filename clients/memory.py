"""Memory of clients from round to round if a strategy needs it, as SCAFFOLD its control variates.

Each client has its own file, which only this user can read. It holds the states after several rounds, so that a run
can be resumed after any of them, and a table that says which state belongs to which round. A client that trains
writes its next state there before it answers. When the round has counted, the table marks that state as the round's.
So any process may train a client, a process may die, and a round may be tried again.
"""

from __future__ import annotations

import errno
import os
import secrets
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import numpy as np

from fedlearn.disk import append
from fedlearn.errors import PoolFailure
from fedlearn.protocol import ClientId, Message
from fedlearn.strategies.base import State
from fedlearn.untrusted import content

# The table: by slot the round and the CRC-32 of its state. Four states can be needed (after this round, and after
# those of the checkpoints that are kept), and one is being made; with a few slots to spare.
SLOTS = 8
TABLE = struct.Struct(f"<{2 * SLOTS}I")
REVEALED = "revealed-"  # start of the names of files that say who gave shares away: one per process and session
PAIR = struct.Struct("<II")  # client and round
FREE, NEXT = 0, 2**32 - 1  # instead of a round: an empty slot; the state after the round in progress


class ClientMemory:
    """The states of one run's clients, in the files of `folder`.

    A file that cannot be used is no fault of its client's: every method raises `PoolFailure`, which ends the run.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._revealed = folder / f"{REVEALED}{secrets.token_hex(8)}"

    def rewind(self, round: int, counted: Collection[ClientId] = ()) -> None:
        """Forget all that came after `round`; there need not be anything yet.

        counted: clients with whom that round counted. What one of them made for it is its state, if nobody said so yet.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for client in (int(name) for name in os.listdir(self.folder) if name.isdecimal()):
            with self._opened(client) as file:
                if client in counted and round not in file.rounds and NEXT in file.rounds:
                    file.rounds[file.rounds.index(NEXT)] = round
                file.rounds = [FREE if after > round else after for after in file.rounds]
                file.write_table()

    def revealed(self) -> set[tuple[ClientId, int]]:
        """The clients that gave away shares of secrets, each with the round, in this session or an earlier one."""
        found: set[tuple[ClientId, int]] = set()
        for path in self.folder.glob(f"{REVEALED}*"):
            data = content(path)
            found.update(PAIR.iter_unpack(data[: len(data) // PAIR.size * PAIR.size]))
        return found

    def reveal(self, clients: Iterable[ClientId], round: int) -> None:
        """These clients are about to give shares away; returns when that is on the disk.

        A machine that does not see the folder keeps nothing: its workers know it for as long as they live.
        """
        if not self.folder.exists():
            return
        append(self._revealed, b"".join(PAIR.pack(client, round) for client in clients), 0o600)

    def settle(self, notice: bytes, clients: Sequence[ClientId], rounds: Sequence[int]) -> None:
        """The round of `notice`, a message, counted with these clients; see `fedlearn.protocol.Pool.settle`."""
        round = Message.from_bytes(notice).step.round
        for client in clients:
            with self._opened(client) as file:
                file.rounds[file.slot_of(NEXT)] = round
                needed = {file.newest(latest) for latest in (*rounds, round)}
                file.rounds = [after if after in needed else FREE for after in file.rounds]
                file.write_table()

    def recall(self, client_ids: ClientId | Sequence[ClientId], lengths: Mapping[str, int]) -> State:
        """The state of one client, by name float32 (n,), or of several, (K, n); 0 where nothing was kept yet."""
        whole = np.zeros((*np.shape(client_ids), sum(lengths.values())), np.float32)
        for row, client in zip(np.atleast_2d(whole), np.atleast_1d(client_ids), strict=True):
            if os.path.exists(f"{self.folder}/{client}"):
                with self._opened(client) as file:
                    file.read_newest(row)
        return dict(zip(lengths, np.split(whole, np.cumsum([*lengths.values()])[:-1], axis=-1), strict=True))

    def note(self, clients: Sequence[ClientId], state: State, lengths: Mapping[str, int]) -> None:
        """The arrays that these clients will keep should the round count with them, by name float32 as in `recall`."""
        whole = np.atleast_2d(np.concatenate([state[name] for name in lengths], axis=-1, dtype="<f4"))
        for client, row in zip(clients, whole, strict=True):
            with self._opened(client) as file:
                file.write_next(row.tobytes())

    @contextmanager
    def _opened(self, client: int) -> Iterator[_File]:
        path = f"{self.folder}/{client}"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                yield _File(path, descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise PoolFailure(
                f"{path}, where a client keeps its state from round to round, cannot be used: {error.strerror}; "
                "mend that and start the run again, with resume=True where it has a folder"
            ) from None


class _File:
    """One client's file: the table, then the slots, all of one length."""

    def __init__(self, path: str, descriptor: int):
        self._path = path
        self._descriptor = descriptor
        table = TABLE.unpack(os.pread(descriptor, TABLE.size, 0).ljust(TABLE.size, b"\0"))
        self.rounds: list[int] = list(table[:SLOTS])
        self._checks: list[int] = list(table[SLOTS:])

    def slot_of(self, round: int) -> int:
        if round not in self.rounds:
            raise self._damaged()
        return self.rounds.index(round)

    def _damaged(self) -> PoolFailure:
        return PoolFailure(
            f"{self._path} is damaged: delete the newest file of checkpoint/ to go on from the one before"
        )

    def newest(self, latest: int) -> int:
        """The last round up to `latest` whose state is here, or FREE."""
        return max(after for after in (FREE, *self.rounds) if after <= latest)

    def read_newest(self, state: np.ndarray) -> None:
        """Fill `state`, float32 (n,), unless there is none yet."""
        round = self.newest(NEXT - 1)
        if round == FREE:
            return
        slot = self.rounds.index(round)
        data = os.pread(self._descriptor, state.nbytes, TABLE.size + slot * state.nbytes)
        if len(data) != state.nbytes or crc32(data) != self._checks[slot]:
            raise self._damaged()
        state[:] = np.frombuffer(data, "<f4")

    def write_next(self, data: bytes) -> None:
        slot = self.slot_of(NEXT if NEXT in self.rounds else FREE)
        self._write(data, TABLE.size + slot * len(data))
        self.rounds[slot], self._checks[slot] = NEXT, crc32(data)
        self.write_table()

    def write_table(self) -> None:
        self._write(TABLE.pack(*self.rounds, *self._checks), 0)

    def _write(self, data: bytes, start: int) -> None:
        if os.pwrite(self._descriptor, data, start) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
