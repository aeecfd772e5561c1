"""All that may pass between parties, as typed messages, their bytes, and the record of who saw what."""

from fedlearn.protocol.messages import (
    AGGREGATOR,
    EVERYBODY,
    FIRST_OPENER,
    Body,
    Enrolment,
    Inbox,
    Message,
    Opened,
    OpenerKey,
    OpenRequest,
    Refusal,
    RunPlan,
    Step,
    TrainRequest,
    Update,
    party_name,
)
from fedlearn.protocol.pool import Lost, Pool, Reply
from fedlearn.protocol.transcript import PartyView, Transcript

__all__ = [
    "AGGREGATOR",
    "EVERYBODY",
    "FIRST_OPENER",
    "Body",
    "Enrolment",
    "Inbox",
    "Lost",
    "Message",
    "OpenRequest",
    "Opened",
    "OpenerKey",
    "PartyView",
    "Pool",
    "Refusal",
    "Reply",
    "RunPlan",
    "Step",
    "TrainRequest",
    "Transcript",
    "Update",
    "party_name",
]
