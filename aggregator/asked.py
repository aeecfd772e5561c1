"""The openers of a session, as the aggregator has them before it, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol


class AskedOpeners(Protocol):
    """The key holder or trustees of one session, in processes or at nodes.

    gone: by party, why it will never answer again. absent: by name, who gave no answer in this round, and why.
    """

    gone: dict[int, str]
    absent: dict[str, str]

    @property
    def left(self) -> int:
        """How many are not gone."""
        ...

    def keys(self) -> dict[int, bytes]:
        """The first message of each: an `OpenerKey`."""
        ...

    def tell(self, message: bytes) -> None:
        """Send all of them a message that needs no answer: the plan, a client's signed update."""
        ...

    def ask(self, requests: Mapping[int, bytes], take: Callable[[int, bytes], bool], enough: int | None = None) -> None:
        """Send each its message, then hand over the answers: take(party, message) says whether one counts.

        enough: how many that count do; None for all.
        """
        ...

    def close(self) -> None: ...
