"""One participant, and where participants come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fedlearn.datasets.examples import Examples

if TYPE_CHECKING:
    from clients.behaviours.base import Behaviour


@dataclass
class Client:
    """One participant: its name (for people who read logs) and its private examples.

    behaviour: what it does where it is malicious; None for an honest client.
    """

    name: str
    data: Examples
    behaviour: Behaviour | None = None


class ClientSource(Protocol):
    """The clients of a federation by number, 0 to len - 1: a list, or something that makes a client when it is sampled.

    Must be picklable: worker processes are given the source whole, of a list only their share.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Client: ...
