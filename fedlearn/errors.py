"""Typed errors. Each says in one line which value was wrong, what the limit is, and what to do about it.

`BadInput` and its children are the caller's to mend (exit status 2 at the command); every other
`FedlearnError` is a run that failed (exit status 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class FedlearnError(Exception):
    """Root of everything this project raises on purpose.

    clients_log: the file in which clients of a simulation said why, where they told the aggregator no more than a code
    """

    clients_log: Path | None = None


class BadInput(FedlearnError, ValueError):
    """A value given to fedlearn cannot be used; the message names it, the limit and the remedy."""

    def __str__(self) -> str:
        """In one line, whatever the value's own text looks like, as an array's."""
        return " ".join(part.strip() for part in super().__str__().splitlines())


class DataError(BadInput):
    """A data file is missing, malformed or too small for what is asked of it."""


class ShapeError(BadInput):
    """Arrays that do not fit together, or not the parameters they are meant for."""


class GraphError(BadInput):
    """A backward pass that cannot be done: freed graph, missing gradient, data changed in place."""


class CodecError(BadInput):
    """A value or a cohort that the fixed-point codec cannot hold exactly."""


class CryptoKeyError(BadInput):
    """A key too small, malformed, of another session, or readable by others."""


class CiphertextError(BadInput):
    """Ciphertext bytes that are damaged, out of range, or made under another key or codec."""


class ProtocolError(BadInput):
    """A message with a wrong length, version, session, round, attempt, phase or sender."""


class PrivacyError(BadInput):
    """Noise that would not protect, or an epsilon asked for what no accountant can bound."""


class LedgerError(PrivacyError):
    """A ledger of privacy spent that is missing, damaged or shorter than it was: what was spent is not known."""


class ComputationFault(FedlearnError):
    """A secret computation whose result failed its check, so that nothing of it is shown: the machine erred."""


class PoolFailure(FedlearnError):
    """The machine that clients run on failed, for example by a full disk; no client is at fault, and the run ends."""


class OpeningRefused(FedlearnError):
    """The key holder or the trustees declined to open a sum; the message says by which rule."""


class NothingLearned(FedlearnError):
    """A run of which no round counted; the message has the reasons. history: the run's `aggregator.History`."""

    def __init__(self, message: str, history: Any = None):
        super().__init__(message)
        self.history = history


class ClientFailure(FedlearnError):
    """An exception in the work of clients, raised where they run; its message is the traceback's text."""


class RoundVoid(FedlearnError):
    """A round that cannot be completed. The model stays as it was; the message is the recorded reason.

    lost: clients that were lost in it, each with the reason. attempts: how often it was tried
    """

    def __init__(self, reason: str, lost: Mapping[int, str] | None = None, attempts: int = 1):
        super().__init__(reason)
        self.lost = dict(lost or {})
        self.attempts = attempts
