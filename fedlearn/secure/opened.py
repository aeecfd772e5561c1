"""What an opener has opened, and whether it may open another sum: a memory that can outlive its process.

An opener that forgot would open a round of a resumed run a second time, for other clients; so its memory is a file of
its own, and on the disk before an answer leaves. Keys are new in every session, the rounds and the clients are not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path

from fedlearn.errors import CryptoKeyError, OpeningRefused
from fedlearn.secure.audit import CohortAudit
from fedlearn.untrusted import content, from_json


class OpenedRounds:
    """The cohorts whose sums were opened, by round.

    min_cohort   the fewest clients whose sum anybody may learn
    max_overlap  the most clients that the cohorts of two opened rounds may share, None for no limit

    Rounds are opened in rising order, each once. The last of an earlier session is opened once more for the same
    clients and model, since that session may have ended before it had the answer. Of rounds that trained the very same
    model no combination of sums may be of fewer than `min_cohort` clients (`CohortAudit`); with `max_overlap` this
    holds of all rounds.
    """

    def __init__(self, min_cohort: int, max_overlap: int | None):
        self._min_cohort = min_cohort
        self._max_overlap = max_overlap
        self._cohorts: dict[int, frozenset[int]] = {}
        self._audits: dict[bytes, CohortAudit] = {}  # by model; all rounds under one key where overlaps are limited
        self._earlier: dict[int, bytes] = {}  # rounds of earlier sessions, and the models they trained
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
                round, model = int(known["round"]), bytes.fromhex(known["model"])
                self._note(round, model, frozenset(map(int, known["clients"])))
                self._earlier[round] = model
        except (ValueError, KeyError, TypeError, OverflowError, OpeningRefused) as error:
            raise CryptoKeyError(
                f"{memory}, an opener's memory of what it opened, is damaged ({error}): without it a round could be "
                "opened twice; start a new run"
            ) from None
        os.truncate(memory, len(whole))

    def check_round(self, round: int, rounds: int) -> None:
        """Raise `OpeningRefused` unless it comes after those opened before, and is one of so many."""
        last = max(self._cohorts, default=0)
        again = round == last and round in self._earlier
        if round in self._cohorts and not again:
            raise OpeningRefused(f"a sum of round {round} was opened before: one opening a round, in a resumed run too")
        if not (last < round or again) or round > rounds:
            raise OpeningRefused(
                f"round {round} is asked for after round {last}: the plan has rounds 1 to {rounds}, in order"
            )

    def check_overlap(self, round: int, cohort: Collection[int]) -> None:
        """Raise `OpeningRefused` where it shares more clients than allowed with that of another round."""
        for other, opened in self._cohorts.items():
            shared = len(opened.intersection(cohort))
            if self._max_overlap is not None and other != round and shared > self._max_overlap:
                raise OpeningRefused(
                    f"this cohort shares {shared} clients with that of round {other}, "
                    f"at most {self._max_overlap} are allowed"
                )

    def enter(self, round: int, model: bytes, cohort: Collection[int]) -> None:
        """The sum of this cohort, trained from the model of this digest, is about to be opened.

        Returns when that is on the disk. Raises `OpeningRefused`, and changes nothing, where it would tell too much.
        """
        if round in self._earlier and (model, frozenset(cohort)) != (self._earlier[round], self._cohorts[round]):
            raise OpeningRefused(
                f"a sum of round {round} was opened before the run was resumed: once more only for the same clients "
                "and the same model"
            )
        self._earlier.pop(round, None)
        self._note(round, model, frozenset(cohort))
        if self._memory is not None:
            line = json.dumps({"round": round, "model": model.hex(), "clients": sorted(cohort)})
            with open(self._memory, "ab", buffering=0) as file:
                file.write(line.encode() + b"\n")
                os.fsync(file.fileno())

    def _note(self, round: int, model: bytes, cohort: frozenset[int]) -> None:
        lineage = model if self._max_overlap is None else b"all"
        audit = self._audits.get(lineage) or CohortAudit(self._min_cohort)
        audit.enter(cohort)
        self._audits[lineage] = audit
        self._cohorts[round] = cohort


def _kept(memory: Path) -> bytes:
    """What an earlier session left, nothing for a new run, whose file is made."""
    try:
        os.close(os.open(memory, os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, 0o600))
        return content(memory)
    except OSError as error:
        raise CryptoKeyError(
            f"{memory}, an opener's memory of what it opened, cannot be used: {error.strerror}"
        ) from None
