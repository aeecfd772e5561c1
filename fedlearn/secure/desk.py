"""An opener at its work: what it is told and asked comes as messages' bytes, and its answers leave so.

Where these bytes pass, through a pipe or inside the messages of another program, is not the opener's matter.
"""

from __future__ import annotations

import logging

from fedlearn.errors import FedlearnError, OpeningRefused, ProtocolError
from fedlearn.protocol import (
    AGGREGATOR,
    Message,
    Opened,
    OpenerKey,
    OpenRequest,
    Refusal,
    RunPlan,
    Step,
    Update,
    party_name,
)
from fedlearn.secure.base import Opener
from fedlearn.secure.pki import Pki
from fedlearn.secure.signed import check_signed

log = logging.getLogger(__name__)


class Desk:
    """One opener in one session. party: its number on the wire. pki: clients' keys that the plan's roster must have."""

    def __init__(self, opener: Opener, party: int, session: bytes, pki: Pki | None = None):
        self._opener, self._party, self._session, self._pki = opener, party, session, pki

    def key(self) -> bytes:
        """The message that shows its key."""
        return self._said(Step(0), OpenerKey(self._opener.public_key()))

    def join(self, data: bytes) -> None:
        """Learn the plan, from its message; raises `ProtocolError` for any other."""
        self._plan = Message.from_bytes(data).expect(RunPlan, session=self._session, sender=AGGREGATOR)
        self._opener.join(self._plan)
        self._objection = self._why_not()

    def receive(self, data: bytes) -> bytes | None:
        """Take note of a client's update, or answer a request to open; what is neither is refused."""
        try:
            message = Message.from_bytes(data)
        except ProtocolError as error:  # one that ended with it would take its key along
            return self._said(Step(0), Refusal(str(error)))
        if isinstance(message.body, Update):
            self._note(message)
            return None
        return self._said(message.step, self._answer(message))

    def _said(self, step: Step, body: OpenerKey | Opened | Refusal) -> bytes:
        return Message(self._session, step, self._party, AGGREGATOR, body).to_bytes()

    def _note(self, message: Message) -> None:
        try:
            update = message.expect(Update, session=self._session)
            signed = check_signed(self._plan, message.step, message.sender, update.payload)
            self._opener.submit(message.step, message.sender, signed)
        except FedlearnError as error:
            self._opener.complain(str(error))

    def _why_not(self) -> str:
        """Why nothing is opened under this plan; "" where its clients are those that are known."""
        try:
            if self._pki is not None:
                self._pki.check(self._plan.roster)
        except ProtocolError as error:
            return str(error)
        return ""

    def _answer(self, message: Message) -> Opened | Refusal:
        try:
            request = message.expect(OpenRequest, session=self._session, sender=AGGREGATOR)
            if self._objection:
                raise OpeningRefused(self._objection)
            if self._plan.keys.get(self._party) != self._opener.public_key():
                raise OpeningRefused("the run plan names another key than this opener's")
            return Opened(self._opener.open(message.step, request.payload))
        except FedlearnError as error:
            return Refusal(str(error))
        except Exception as error:  # whatever it is: an opener that ends would take its key along
            log.exception("%s could not open a sum", party_name(self._party))
            return Refusal(f"failed ({type(error).__name__}): see this opener's own log")
