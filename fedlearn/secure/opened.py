"""The sums that an opener has opened, and whether it may open another: a memory that can outlive its process.

A sum is that of a round's cohort, or of one group of it where the plan cuts groups; its number is (round, group).

An opener that forgot would open a round of a resumed run a second time, for other clients; so its memory is a file of
its own, and on the disk before an answer leaves. Keys are new in every session, the rounds and the clients are not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path

from fedlearn.disk import append
from fedlearn.errors import CryptoKeyError, OpeningRefused
from fedlearn.secure.audit import CohortAudit
from fedlearn.untrusted import content, from_json
from fedlearn.wording import many

Number = tuple[int, int]  # round and group


class OpenedRounds:
    """The clients whose sums were opened, by round and group.

    min_cohort   the fewest clients whose sum anybody may learn
    max_overlap  the most clients that two sums of different rounds may share, None for no limit

    Sums are opened in rising order of their numbers, each once; those of one round share no client. What an earlier
    session opened in its last round is opened once more for the same clients and model, since that session may have
    ended before it had the answer. Of sums of the very same model no combination may be of fewer than `min_cohort`
    clients (`CohortAudit`); with `max_overlap` this holds of all sums.
    """

    def __init__(self, min_cohort: int, max_overlap: int | None):
        self._min_cohort = min_cohort
        self._max_overlap = max_overlap
        self._cohorts: dict[Number, frozenset[int]] = {}
        self._audits: dict[bytes, CohortAudit] = {}  # by model; all sums under one key where overlaps are limited
        self._earlier: dict[Number, bytes] = {}  # sums of earlier sessions, and the models they trained
        self._last: Number = (0, 0)  # of this session
        self._memory: Path | None = None

    def recall(self, memory: Path) -> None:
        """Go on from what this file says, and keep it; a new one is made with mode 0600.

        Raises `CryptoKeyError` for a damaged one. A last line without an end was written, and no answer followed it.
        """
        self._memory = memory
        data = _kept(memory)
        whole = data[: data.rfind(b"\n") + 1]
        try:
            for line in whole.splitlines():
                known = from_json(line)
                number = int(known["round"]), int(known["group"])
                model = bytes.fromhex(known["model"])
                self._note(number, model, frozenset(map(int, known["clients"])))
                self._earlier[number] = model
        except (ValueError, KeyError, TypeError, OverflowError, AttributeError, OpeningRefused) as error:
            raise CryptoKeyError(
                f"{memory}, an opener's memory of what it opened, is damaged ({error}): without it a round could be "
                "opened twice; start a new run"
            ) from None
        os.truncate(memory, len(whole))

    @property
    def opened(self) -> int:
        """How many sums were opened, in this session and earlier ones."""
        return len(self._cohorts)

    def was_opened(self, number: Number) -> bool:
        """True where this sum was opened, or was about to be, in this session or an earlier one."""
        return number in self._cohorts

    def check_number(self, number: Number, rounds: int) -> None:
        """Raise `OpeningRefused` unless it comes after those opened before, in one of so many rounds."""
        round, group = number
        last = max(self._cohorts, default=(0, 0))
        if number in self._cohorts and not (number in self._earlier and round == last[0]):
            raise OpeningRefused(
                f"a sum of {_said(number)} was opened before: one opening a {'group' if group else 'round'}, "
                "in a resumed run too"
            )
        if not 0 < round <= rounds or round < last[0] or number <= self._last:
            raise OpeningRefused(
                f"{_said(number)} is asked for after {_said(last)}: the plan has rounds 1 to {rounds}, in order"
            )

    def check_overlap(self, number: Number, clients: Collection[int]) -> None:
        """Raise `OpeningRefused` where too many of the clients are in another sum: of the same round, any."""
        for other, opened in self._cohorts.items():
            shared = len(opened.intersection(clients))
            same = other[0] == number[0]
            most = 0 if same else self._max_overlap
            if other != number and most is not None and shared > most:
                raise OpeningRefused(
                    f"{many(shared, 'client')} of this {'group' if same else 'cohort'} took part in {_said(other)}, "
                    f"at most {most} are allowed"
                )

    def enter(self, number: Number, model: bytes, clients: Collection[int]) -> None:
        """The sum of these clients, trained from the model of this digest, is about to be opened.

        Returns when that is on the disk. Raises `OpeningRefused`, and changes nothing, where it would tell too much.
        """
        if number in self._earlier and (model, frozenset(clients)) != (self._earlier[number], self._cohorts[number]):
            raise OpeningRefused(
                f"a sum of {_said(number)} was opened before the run was resumed: once more only for the same clients "
                "and the same model"
            )
        self._note(number, model, frozenset(clients))
        self._earlier.pop(number, None)
        self._last = number
        if self._memory is not None:
            round, group = number
            line = {"round": round, "group": group, "model": model.hex(), "clients": sorted(clients)}
            append(self._memory, json.dumps(line).encode() + b"\n")

    def _note(self, number: Number, model: bytes, clients: frozenset[int]) -> None:
        lineage = model if self._max_overlap is None else b"all"
        audit = self._audits.get(lineage) or CohortAudit(self._min_cohort)
        audit.enter(clients)
        self._audits[lineage] = audit
        self._cohorts[number] = clients


def _said(number: Number) -> str:
    round, group = number
    return f"round {round}, group {group}" if group else f"round {round}"


def _kept(memory: Path) -> bytes:
    """Read the entries of an earlier session; a new run has none, and its file is made."""
    try:
        os.close(os.open(memory, os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, 0o600))
        return content(memory)
    except OSError as error:
        raise CryptoKeyError(
            f"{memory}, an opener's memory of what it opened, cannot be used: {error.strerror}"
        ) from None
