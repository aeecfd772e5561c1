"""Rooms for whole sequences: the arrays of one shape of sequence, and the NumPy calls of all its steps bound to them.

The loop of a small recurrent layer is mostly Python between NumPy's calls: slices, names, arrays that are made. A room
is furnished once for a shape and then used again: what is left is a flat list of calls. It is lent to one forward pass
and comes back when nobody needs what that pass kept, so that two graphs never share one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Protocol

from fedlearn.autograd.mode import mode

KEPT = 64 << 20  # bytes of rooms that nobody uses, in each thread

Call = Callable[[], Any]


class Room(Protocol):
    """Arrays and calls of one shape of sequence; `bytes` is how much memory they take."""

    bytes: int


class Rooms(threading.local):
    """The rooms of this thread that nobody uses, oldest first."""

    def __init__(self) -> None:
        self._free: list[tuple[Hashable, Room]] = []

    def lend(self, key: Hashable, furnish: Callable[[], Room]) -> Lent:
        """A room for sequences of this key; a new one where there is none, or under `no_replay`."""
        if mode.replaying:
            for place in reversed(range(len(self._free))):
                if self._free[place][0] == key:
                    return Lent(self, key, self._free.pop(place)[1])
        room = furnish()
        while self._free and self.bytes + room.bytes > KEPT:
            del self._free[0]
        return Lent(self, key, room)

    def take_back(self, key: Hashable, room: Room) -> None:
        if mode.replaying and self.bytes + room.bytes <= KEPT:
            self._free.append((key, room))

    @property
    def bytes(self) -> int:
        return sum(room.bytes for _, room in self._free)


class Lent:
    """A room in use: it goes back to where it came from when this is forgotten."""

    def __init__(self, rooms: Rooms, key: Hashable, room: Any):
        self._rooms, self._key, self.room = rooms, key, room

    def __del__(self) -> None:
        self._rooms.take_back(self._key, self.room)


rooms = Rooms()
