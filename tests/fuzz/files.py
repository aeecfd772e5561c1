"""Readers of run folders and plans that others wrote, for the same loop."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache, partial
from pathlib import Path
from typing import Any
from zlib import crc32

from aggregator import Aggregator, RunFolder
from aggregator.history import RoundRecord
from clients import InlinePool
from clients.rounding import NAME as ROUNDING
from clients.session import LocalSession
from fedlearn.errors import BadInput
from fedlearn.protocol import AGGREGATOR, EVERYBODY, Message, PartyView, RunPlan, Step
from fedlearn.protocol.transcript import PAYLOADS, ROWS, Transcript
from fedlearn.secure import Masks
from scenarios.report.runs import Run
from tests.fuzz.loop import Reader
from tests.fuzz.odd import ODD, odd_json, with_odd_values
from tests.fuzz.readers import JSON, folder
from tests.toys import toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

CONFIGURATION: dict[str, Any] = {"rounds": 2, "seed": 0}
ODD_IN_PLANS = (*ODD, b"", bytes(16))


class Tap(InlinePool):
    """Keeps the plan, and what the first client is asked to train."""

    plan = b""
    asked: tuple[Step, bytes, dict[int, bytes]] | None = None

    def start(self, plan, *log) -> None:
        self.plan = plan
        super().start(plan, *log)

    def exchange(self, step, broadcast, inboxes) -> Iterator[Any]:
        self.asked = self.asked or (step, broadcast, {0: dict(inboxes).get(0, b"")})
        yield from super().exchange(step, broadcast, inboxes)


@cache
def recorded() -> Path:
    """A run of one round, with its payloads."""
    path = folder() / "run"
    kept = RunFolder(path, CONFIGURATION, {"name": "toy"}, record=True)
    Aggregator(toy_model(), toy_strategy(), toy_plain(), folder=kept).fit(InlinePool(toy_clients()), 1)
    return path


@cache
def tapped(hidden: int) -> Tap:
    protection = (toy_plain(), toy_paillier(), Masks(toy_codec()))[hidden]
    pool = Tap(toy_clients())
    Aggregator(toy_model(), toy_strategy(), protection).fit(pool, 1)
    return pool


def of_file(name: str) -> list[bytes]:
    return [(recorded() / name).read_bytes()]


def copied(data: bytes, name: str) -> Path:
    """The recorded run with another content of one file."""
    path = folder() / "copy"
    path.mkdir(exist_ok=True)
    for each in ("run.json", ROWS, PAYLOADS):
        (path / each).write_bytes((recorded() / each).read_bytes())
    (path / name).write_bytes(data)
    return path


def view(data: bytes) -> object:
    return PartyView.load(copied(data, ROWS))


def gone_on_with(data: bytes) -> None:
    Transcript(copied(data, ROWS), record=True).close()


def resumed(data: bytes) -> object:
    return RunFolder(copied(data, "run.json"), CONFIGURATION, {"name": "toy"}, resume=True)


def record(data: bytes) -> object:
    """As a checkpoint's reader does: what is no record is a ValueError there, and the checkpoint before is taken."""
    try:
        return RoundRecord.from_dict(json.loads(data)).to_dict()
    except (ValueError, RecursionError) as error:
        raise BadInput(str(error)) from None


ROUNDED = b'{"round": 1, "error": 2.5e-06}\n{"round": 2, "error": 0.0}\n'


def rounding(data: bytes) -> object:
    """As the report does."""
    (copied(data, ROUNDING)).joinpath("metrics.jsonl").write_bytes(b"")
    return Run.load(folder() / "copy").rounding()


def thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: thawed(item) for name, item in value.items()}
    return [thawed(item) for item in value] if isinstance(value, list | tuple) else value


def odd_plan(data: bytes) -> bytes:
    """A plan that can be read and says odd things in one to three places; which ones follows from the bytes."""
    rng = random.Random(crc32(data))
    plan = Message.from_bytes(tapped(rng.randrange(3)).plan).body
    values = {f.name: thawed(getattr(plan, f.name)) for f in fields(RunPlan)}
    try:
        return RunPlan(**with_odd_values(values, rng, ODD_IN_PLANS)).to_bytes()
    except BadInput:
        return data


def followed(data: bytes) -> None:
    """What a client does with a plan: it agrees to it, and trains."""
    plan = RunPlan.from_bytes(data)
    session = LocalSession(toy_clients())
    number = Message.from_bytes(tapped(0).plan).session
    session.join(Message(number, Step(0), AGGREGATOR, EVERYBODY, plan).to_bytes())
    step, broadcast, inboxes = tapped(0).asked or (Step(1), b"", {})
    list(session.exchange(step, broadcast, inboxes))


ODD_ROWS, ODD_RECORDS = (odd_json(partial(of_file, name)) for name in (ROWS, "metrics.jsonl"))
ODD_RUN = odd_json(partial(of_file, "run.json"), lines=False)
FILES = [
    Reader("transcript, attacked", partial(of_file, ROWS), view, ODD_ROWS, JSON, 0.3),
    Reader("transcript, resumed", partial(of_file, ROWS), gone_on_with, ODD_ROWS, JSON, 0.3),
    Reader("run.json, resumed", partial(of_file, "run.json"), resumed, ODD_RUN, JSON, 0.3),
    Reader("metrics.jsonl", partial(of_file, "metrics.jsonl"), record, ODD_RECORDS, JSON),
    Reader("measured rounding", lambda: [ROUNDED], rounding, odd_json(lambda: [ROUNDED]), JSON),
    Reader(
        "plan at a client",
        lambda: [Message.from_bytes(tapped(hidden).plan).body.to_bytes() for hidden in range(3)],
        followed,
        odd_plan,
        (),
        0.3,
    ),
]
