"""All that may pass between parties, as typed messages, their bytes, and the record of who saw what."""

from fedlearn.protocol.bodies import (
    Body,
    Counted,
    Enrolment,
    Inbox,
    LeftOut,
    Loss,
    Marks,
    Opened,
    OpenerKey,
    OpenRequest,
    PartialSum,
    Refusal,
    TrainRequest,
    Update,
)
from fedlearn.protocol.messages import Message, Step, read_plan
from fedlearn.protocol.parties import (
    AGGREGATOR,
    EVERYBODY,
    FIRST_OPENER,
    FIRST_WORKER,
    ClientId,
    client_name,
    party_name,
    transcript_name,
)
from fedlearn.protocol.plan import RunPlan
from fedlearn.protocol.pool import Answer, Lost, Partial, Pool, Reply
from fedlearn.protocol.transcript import PartyView, Transcript

__all__ = [
    "AGGREGATOR",
    "EVERYBODY",
    "FIRST_OPENER",
    "FIRST_WORKER",
    "Answer",
    "Body",
    "ClientId",
    "Counted",
    "Enrolment",
    "Inbox",
    "LeftOut",
    "Loss",
    "Lost",
    "Marks",
    "Message",
    "OpenRequest",
    "Opened",
    "OpenerKey",
    "Partial",
    "PartialSum",
    "PartyView",
    "Pool",
    "Refusal",
    "Reply",
    "RunPlan",
    "Step",
    "TrainRequest",
    "Transcript",
    "Update",
    "client_name",
    "party_name",
    "read_plan",
    "transcript_name",
]
