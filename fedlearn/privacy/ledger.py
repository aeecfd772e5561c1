"""The ledger: what privacy a run has spent, on the disk before it is spent.

A row is written, and forced to the disk, before a sum is opened; so whatever dies afterwards, no sum is read uncharged.
A round that is opened again after a crash, with fresh noise, is a second release, and has a second row. Rows are only
ever added. Each carries a digest of all before it: a row that was changed, cut or taken out is found, and what is
missing at the end too, where the caller knows how many there were (a checkpoint does). The epsilons are functions of
the rows and delta alone.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from heapq import nlargest
from pathlib import Path
from typing import Self

from fedlearn.checked import members, takes_plain
from fedlearn.disk import append, force
from fedlearn.errors import LedgerError
from fedlearn.privacy.accounting import Accountant, AnalyticGaussian, Release
from fedlearn.privacy.limits import SMALLEST_NOISE
from fedlearn.untrusted import content, escaped, from_json
from fedlearn.wording import many

_HEADER = '{"ledger": "fedlearn privacy", "version": 1}'


@dataclass(frozen=True)
class Row:
    """One sum that is opened.

    session, round, attempt: which. q: the sampling rate to charge, 1 where amplification may not be claimed.
    noise: as `GaussianMechanism.charged`. count: in how many opened sums, this one included, the client has been that
    has been in most. Raises `LedgerError` for values out of range.
    """

    session: str
    round: int
    attempt: int
    q: float
    noise: float
    count: int

    def __post_init__(self) -> None:
        for name, first in (("round", 0), ("attempt", 0), ("count", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < first:
                raise LedgerError(f"{name} is {value!r}, it must be an integer of {first} or more")
        if type(self.session) is not str:
            raise LedgerError(f"session is {self.session!r}, it must be text")
        for name, least, most in (("q", 5e-324, 1.0), ("noise", SMALLEST_NOISE, sys.float_info.max)):
            value = getattr(self, name)
            if type(value) not in (int, float) or not least <= value <= most:
                raise LedgerError(f"{name} is {value!r}, it must be a number from {least:g} to {most:g}")


class Ledger:
    """The rows of one run, in memory and in a file of JSON lines. Made by `create`, `load` or `unkept`."""

    def __init__(self, path: Path | None, rows: tuple[Row, ...], digest: str):
        self.path, self.rows, self._digest = path, rows, digest
        self._size = path.stat().st_size if path else 0

    @classmethod
    def unkept(cls) -> Self:
        """An empty one in no file, for a run that is kept nowhere and cannot be resumed."""
        return cls(None, (), _digest("", _HEADER))

    @classmethod
    @takes_plain
    def create(cls, path: Path) -> Self:
        """An empty ledger, on the disk with its name; raises `LedgerError` where there is one, or none can be."""
        try:
            with open(path, "x") as file:
                file.write(_HEADER + "\n")
            force(path)
            force(path.parent)
        except FileExistsError:
            raise LedgerError(f"{path} exists and is never written anew: load it, or choose another folder") from None
        except OSError as error:
            raise LedgerError(
                f"the ledger {path} cannot be written ({error.strerror}): choose another folder"
            ) from None
        return cls(path, (), _digest("", _HEADER))

    @classmethod
    @takes_plain
    def load(cls, path: Path, at_least: int = 0) -> Self:
        """The ledger of a run that goes on; the file stays as it is. at_least: how many rows it is known to have had.

        Raises `LedgerError`, naming the line, for a file that is missing, damaged or too short.
        """
        try:
            text = content(path).decode()
        except OSError as error:
            raise LedgerError(f"the ledger {path} cannot be read ({error.strerror}): {_REMEDY}") from None
        except UnicodeDecodeError:
            raise LedgerError(f"the ledger {path} is damaged, it is no text: {_REMEDY}") from None
        header, *lines = text.split("\n")
        if header != _HEADER:
            raise LedgerError(f"{path}, line 1: no ledger of this version: {_REMEDY}")
        if not lines or lines.pop() != "":
            raise LedgerError(f"{path}, line {len(lines) + 2}: the row is cut off: {_REMEDY}")
        rows, digest = [], _digest("", header)
        for number, line in enumerate(lines, 2):
            body, _, check = line.rpartition(" ")
            digest = _digest(digest, body)
            try:
                if check != digest:
                    raise ValueError("it, or one before it, is not what was written")
                rows.append(Row(**from_json(body)))
            except (ValueError, TypeError) as error:
                said = escaped(error, 120)
                raise LedgerError(f"{path}, line {number}: the row is damaged ({said}): {_REMEDY}") from None
        ledger = cls(path, tuple(rows), digest)
        ledger.check_length(at_least)
        return ledger

    @takes_plain
    def check_length(self, at_least: int) -> None:
        """Raise `LedgerError` where rows are missing at the end."""
        if len(self.rows) < at_least:
            raise LedgerError(f"{self.path} has {many(len(self.rows), 'row')}, it had {at_least}: {_REMEDY}")

    @takes_plain
    def charge(self, row: Row) -> None:
        """Add a row; when this returns it is on the disk, and the sum may be opened. Raises `LedgerError` otherwise."""
        body = json.dumps(asdict(row))
        digest = _digest(self._digest, body)
        if self.path is not None:
            self._write(self.path, f"{body} {digest}")
        self.rows, self._digest = (*self.rows, row), digest

    def _write(self, path: Path, line: str) -> None:
        try:
            size = path.stat().st_size
            if size != self._size:
                raise LedgerError(f"{path} has {many(size, 'byte')}, {self._size} were written here: {_REMEDY}")
            append(path, f"{line}\n".encode())
            self._size = path.stat().st_size
        except OSError as error:
            raise LedgerError(f"{path} cannot be written ({error.strerror}): the sum stays closed") from None


_REMEDY = "what was spent is not known, so restore the file, or begin another run"


def _digest(before: str, body: str) -> str:
    return sha256(f"{before}\n{body}".encode()).hexdigest()[:16]


@takes_plain
def epsilon(rows: Sequence[Row], delta: float, accountant: Accountant) -> float:
    """For whoever sees the models alone, and does not know the coins: under zero-out, amplified by sampling.

    Openings of one round share its coins, by which they are one release with less noise, and cost more than two rounds.
    """
    rounds: dict[int, list[Row]] = {}
    for row in members("rows", rows, Row):
        rounds.setdefault(row.round, []).append(row)
    kinds = Counter((max(row.q for row in same), _together(same)) for same in rounds.values())
    return accountant.epsilon([Release(q, noise, count) for (q, noise), count in kinds.items()], delta)


def _together(rows: Sequence[Row]) -> float:
    """The noise of one release that tells as much as several with the same client in them."""
    return rows[0].noise if len(rows) == 1 else math.fsum(1 / row.noise**2 for row in rows) ** -0.5


@takes_plain
def epsilon_aggregator(rows: Sequence[Row], delta: float) -> float:
    """For whoever knows who took part: the exact cost to the client that was in most sums, under zero-out."""
    rows = members("rows", rows, Row)
    return AnalyticGaussian(
        math.sqrt(math.fsum(nlargest(most_sums(rows), (1 / row.noise**2 for row in rows))))
    ).epsilon(delta)


def most_sums(rows: Sequence[Row]) -> int:
    """No client is in more of the sums than this.

    Its count may come from a checkpoint that knows nothing of a sum opened just before a crash. Such a round is opened
    again, so that all its rows but one are counted once more.
    """
    rows = members("rows", rows, Row)
    again = sum(count - 1 for count in Counter(row.round for row in rows).values())
    return min(len(rows), max((row.count for row in rows), default=0) + again)
