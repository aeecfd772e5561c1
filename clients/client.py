"""One participant, and where participants come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fedlearn.datasets.bags import Examples


@dataclass
class Client:
    """One participant: its name (for people who read logs) and its private examples."""

    name: str
    data: Examples


class ClientSource(Protocol):
    """The clients of a federation by number, 0 to len - 1: a list, or something that makes a client when it is sampled.

    Must be picklable: worker processes are given the source whole, of a list only their share.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Client: ...
