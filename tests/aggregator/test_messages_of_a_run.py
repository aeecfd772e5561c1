"""Each message of a small run, in order: who sends what to whom in which phase, and what is counted of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from aggregator import Aggregator, Faults, RunFolder
from clients import InlinePool
from fedlearn.protocol import AGGREGATOR, OpenRequest, PartyView
from fedlearn.secure import Masks
from fedlearn.strategies.scaffold import Scaffold
from fedlearn.wording import many
from tests.toys import toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

ENROL = ["0.0 0 > aggregator: Enrolment", "0.0 1 > aggregator: Enrolment", "0.0 2 > aggregator: Enrolment"]
PLAN = "0.0 aggregator > everybody: RunPlan"


def from_each(where: str) -> list[str]:
    return [f"{where} {client} > aggregator: Update" for client in range(3)]


def to_each(where: str) -> list[str]:
    return [f"{where} aggregator > {client}: Inbox" for client in range(3)]


NONE = [PLAN, *[
    line
    for round in (1, 2)
    for line in (f"{round}.0 update aggregator > 0 1 2: TrainRequest", *from_each(f"{round}.0 update"))
]]  # fmt: skip
STATES = [PLAN, *[
    line
    for round in (1, 2)
    for line in (
        f"{round}.0 update aggregator > 0 1 2: TrainRequest", *from_each(f"{round}.0 update"),
        f"{round}.0 settle aggregator > 0 1 2: Counted",
    )
]]  # fmt: skip
PAILLIER = [
    "0.0 opener:0 > aggregator: OpenerKey", *ENROL, PLAN, "1.0 update aggregator > 0 1 2: TrainRequest",
    *[f"1.0 update {client} > {to}: Update" for client in range(3) for to in ("aggregator", "opener:0")],
    "1.0 open aggregator > opener:0: OpenRequest", "1.0 open opener:0 > aggregator: Opened",
]  # fmt: skip
MASKS = [
    *ENROL, PLAN, *from_each("1.0 keys"), *to_each("1.0 shares"), *from_each("1.0 shares"),
    "1.0 update aggregator > 0 1 2: TrainRequest", *to_each("1.0 update"), *from_each("1.0 update"),
    *to_each("1.0 check"), *from_each("1.0 check"), *to_each("1.0 unmask"), *from_each("1.0 unmask"),
]  # fmt: skip


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "transcript.jsonl").read_text().splitlines()]


def told(path: Path) -> list[str]:
    """A line a message: round.attempt phase sender > recipients: type."""
    messages: dict[tuple, list[str]] = {}
    for row in rows(path):
        where = f"{row['round']}.{row['attempt']} {row['phase']}".strip()
        key = (row["offset"], f"{where} {row['from'].removeprefix('client:')}", row["type"])
        messages.setdefault(key, []).append(row["to"].removeprefix("client:"))
    return [f"{begin} > {' '.join(to)}: {kind}" for (_, begin, kind), to in messages.items()]


def run(path: Path, protection, strategy=None, rounds=1, clients=3, **more):
    folder = RunFolder(path, {}, {}, record=True)
    aggregator = Aggregator(toy_model(), strategy or toy_strategy(), protection, folder=folder, **more)
    return aggregator.fit(InlinePool(toy_clients(clients)), rounds)


@pytest.mark.parametrize(("protection", "strategy", "messages"), [
    (toy_plain(), None, NONE), (toy_plain(), Scaffold(1, 4, 0.1), STATES), (toy_paillier(), None, PAILLIER),
    (Masks(toy_codec()), None, MASKS),
], ids=["none", "clients that keep state", "paillier", "masks"])  # fmt: skip
def test_messages_of_a_run(tmp_path, protection, strategy, messages):
    rounds = 2 if protection.fold_in_worker else 1
    history = run(tmp_path / "run", protection, strategy, rounds)
    assert told(tmp_path / "run") == messages
    seen = rows(tmp_path / "run")
    assert sum(sum(record.seconds.values()) for record in history.rounds) <= history.seconds < 1000
    assert "run.log" not in [Path(getattr(each, "baseFilename", "")).name for each in logging.getLogger().handlers]
    for record in history.rounds:
        own = [row for row in seen if row["round"] == record.round]
        up = sum(row["bytes"] for row in own if row["from"].startswith("client") and row["to"] == "aggregator")
        down = sum(row["bytes"] for row in own if row["to"].startswith("client"))
        openers = sum(row["bytes"] for row in own if "opener" in row["from"] + row["to"])
        assert (record.bytes_up, record.bytes_down, record.bytes_openers) == (up, down, openers)
        assert (record.clients_ok, record.clients_failed, record.attempts, record.lost) == (3, 0, 1, {})
        assert list(record.seconds) == [*protection.phases, "open"]
        assert all(0 <= seconds < 1000 for seconds in record.seconds.values())


def test_clients_are_asked_about_the_new_model_in_the_attempt_that_counted(tmp_path):
    run(tmp_path / "run", toy_plain(), evaluate_clients=True)
    assert told(tmp_path / "run")[-4:] == [
        "1.0 evaluate aggregator > 0 1 2: TrainRequest",
        *(f"1.0 evaluate {client} > aggregator: Marks" for client in range(3)),
    ]


class Reads:
    """A tracker that looks at the transcript when it hears of a round."""

    def __init__(self, path: Path):
        self.path, self.seen = path, []

    def begin(self, rounds, first):
        pass

    def round(self, record):
        self.seen.append([row["round"] for row in rows(self.path) if row["type"] == "Marks"])

    def end(self):
        pass


def test_all_of_a_round_is_in_the_transcript_before_anybody_hears_of_it(tmp_path):
    reads = Reads(tmp_path / "run")
    run(reads.path, toy_plain(), rounds=2, evaluate_clients=True, trackers=[reads])
    assert reads.seen == [[1] * 3, [1] * 3 + [2] * 3]


def test_groups_are_opened_one_by_one_and_who_is_left_out_is_told(tmp_path):
    """Client 5 vanishes, and client 4 is alone in its group: it was reached, so it is told; client 5 was not."""
    path = tmp_path / "run"
    history = run(
        path, toy_paillier(min_cohort=2), clients=8, robust="median", group_size=2, faults=Faults(dropout=0.2), seed=0
    )
    record = history.rounds[0]
    assert record.lost == {4: "group 3 was left out: 1 client answered, 2 are needed", 5: "dropped out"}
    assert (record.robust["numbers"], record.robust["left_out"]) == ([0, 1, 2], [3])
    assert (record.clients_ok, record.clients_failed) == (6, 2)
    lines = told(path)
    assert lines[-8:] == [
        *["1.0 open aggregator > opener:0: OpenRequest", "1.0 open opener:0 > aggregator: Opened"] * 3,
        "1.0 left-out aggregator > 4: LeftOut", "1.0 left-out 4 > aggregator: LeftOut",
    ]  # fmt: skip
    asked = [message.step for message, _ in PartyView.load(path, AGGREGATOR).bodies(OpenRequest)]
    found = [(step.round, step.attempt, step.phase, step.group) for step in asked]
    assert found == [(1, 0, "open", group) for group in range(3)]


def test_too_few_of_an_uncut_cohort_make_a_void_round(tmp_path):
    protection = toy_paillier(min_cohort=3)
    history = run(tmp_path / "run", protection, clients=4, rounds=4, faults=Faults(dropout=0.3), seed=2)
    for record in history.rounds:
        left = 4 - len(record.lost)
        assert (record.void is None) == (left >= 3)
        if record.void:
            assert record.void.startswith(f"{many(left, 'client')} answered, 3 are needed")
    assert 0 < history.counted < 4
