"""The parties of a session, as the aggregator has them before it, and how it speaks to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from aggregator.asked import AskedOpeners
from aggregator.charging import Charges
from aggregator.journal import Journal
from aggregator.losses import ClientsLog
from aggregator.watching import Watched
from fedlearn.protocol import AGGREGATOR, Body, Message, Pool, RunPlan, Step, Transcript
from fedlearn.secure.base import Protection
from fedlearn.secure.layout import Layout

B = TypeVar("B", bound=Body)


@dataclass(frozen=True)
class Parties:
    """The parties of a session, under one plan. least_groups: how many of a cohort that is cut must go on."""

    plan: RunPlan
    protection: Protection
    layout: Layout
    pool: Pool
    openers: AskedOpeners
    transcript: Transcript
    journal: Journal
    clients_log: ClientsLog
    watched: Watched
    spending: Charges | None = None
    least_groups: int = 1

    @property
    def least(self) -> int:
        """The fewest addends of a sum that is opened."""
        return max(self.protection.min_cohort, self.spending.terms.min_cohort if self.spending else 1)

    def say(self, step: Step, recipient: int, body: Body, recipients: Sequence[int] | None = None) -> bytes:
        """The bytes of a message from the aggregator, which the transcript has from here on.

        recipient: a party, or `EVERYBODY`. recipients: who gets what is for everybody; None for all.
        """
        message = Message(self.plan.session, step, AGGREGATOR, recipient, body)
        data = message.to_bytes()
        self.transcript.saw(data, recipients, read=message)
        return data

    def read(self, data: bytes, kind: type[B], step: Step, sender: int) -> B:
        """Read a message to the aggregator; raises `ProtocolError` for one that is not what this party may say now.

        Nothing is entered in the transcript yet: a message is what its sender says it is only where that was checked.
        """
        message = Message.from_bytes(data)
        return message.expect(kind, session=self.plan.session, step=step, sender=sender, recipient=AGGREGATOR)
