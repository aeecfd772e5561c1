"""What clients do, each beside its formula: malicious deltas, kept states, sums, demands on a plan."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest

from clients import Client
from clients.behaviours.base import Crew, with_vectors
from clients.behaviours.collusion import ALIE, IPM, largest_z
from clients.behaviours.draw import how_many, infiltrate
from clients.behaviours.flips import LabelFlip, SignFlip
from clients.behaviours.nearness import Mimic, MinMax, MinSum
from clients.encoded import Encoded, RunningSum, addable
from clients.memory import ClientMemory
from clients.placement import Shares
from clients.policy import Policy
from clients.rounding import Rounding
from clients.vault import FileVault
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import BadInput, CryptoKeyError, PoolFailure, ProtocolError
from fedlearn.privacy.terms import Terms
from fedlearn.protocol import AGGREGATOR, EVERYBODY, Counted, Message, Step
from fedlearn.secure import Masks, Plain, Threshold
from fedlearn.secure.layouts import layout_of
from fedlearn.secure.pki import Pki
from fedlearn.strategies.base import LocalUpdate, Output
from tests.secure.plans import plan_of
from tests.toys import toy_clients, toy_codec

DELTAS = np.random.default_rng(0).normal([1, 0, -1, 2], size=(5, 4))
MEAN, SPREAD = DELTAS.mean(axis=0), DELTAS.std(axis=0)
CREW = {number: Arrays(np.zeros((1, 1), np.float32), np.zeros(1, np.int64)) for number in range(5)}


def honest(number, data) -> LocalUpdate:
    return LocalUpdate({"delta": DELTAS[number]}, 4, 0.5)


def sent(behaviour) -> np.ndarray:
    found = behaviour.update(LocalUpdate({"delta": np.ones(4, np.float32)}, 4, 0.5), honest)
    assert (found.examples, found.loss) == (4, 0.5)
    return found.vectors["delta"]


@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize(("behaviour", "wanted"), [
    (ALIE(CREW, 1.5), MEAN - 1.5 * SPREAD),
    (IPM(CREW, 0.7), -0.7 * MEAN),
])  # fmt: skip
def test_what_colluders_send_together(behaviour, wanted, group):
    """In a group with others who send about the mean, so much that the group's mean is what they want."""
    np.testing.assert_allclose(sent(replace(behaviour, group=group)), MEAN + group * (wanted - MEAN), rtol=1e-5)


@pytest.mark.parametrize("direction", ["std", "mean", "sign"])
@pytest.mark.parametrize("kind", [MinMax, MinSum])
def test_as_far_as_honest_ones_lie_apart_and_no_farther(kind, direction):
    found = sent(kind(CREW, direction)).astype(np.float64)
    towards = {"std": -SPREAD, "mean": -MEAN, "sign": -np.sign(MEAN)}[direction]
    factor = (found - MEAN) @ towards / (towards @ towards)
    np.testing.assert_allclose(found, MEAN + factor * towards, rtol=1e-4)

    def reach(vector: np.ndarray) -> float:
        squares = ((DELTAS - vector) ** 2).sum(axis=1)
        return float(squares.max() if kind is MinMax else squares.sum())

    limit = max(map(reach, DELTAS))
    assert factor > 0
    assert reach(found) == pytest.approx(limit, rel=1e-5)
    assert reach(MEAN + 1.01 * factor * towards) > limit
    np.testing.assert_allclose(sent(kind(CREW, direction, 2)), MEAN + 2 * (found - MEAN), rtol=1e-4)


def test_where_there_is_nowhere_to_go_they_stay():
    alike = {0: CREW[0], 1: CREW[1]}
    found = MinMax(alike).update(
        LocalUpdate({"delta": np.ones(4, np.float32)}, 4, 0.5), lambda number, data: honest(0, data)
    )
    np.testing.assert_allclose(found.vectors["delta"], DELTAS[0], rtol=1e-6)


def test_a_mimic_sends_the_farthest_honest_one():
    farthest = ((DELTAS - MEAN) ** 2).sum(axis=1).argmax()
    np.testing.assert_allclose(sent(Mimic(CREW)), DELTAS[farthest], rtol=1e-6)


@pytest.mark.parametrize(("scale", "group", "factor"), [(1.0, 1, -1), (3.0, 1, -3), (1.0, 4, -7), (2.0, 3, -8)])
def test_a_flipped_sign_outweighs_the_rest_of_its_group(scale, group, factor):
    assert sent(SignFlip(scale, group)).tolist() == [factor] * 4


def test_where_half_of_the_honest_clients_are_needed_there_is_no_z():
    with pytest.raises(BadInput, match="alie with 2 of 10 clients a round has no z"):
        largest_z(10, 2)


@pytest.mark.parametrize(("share", "count"), [(1, 1), (10, 10), (0.1, 1), (0.25, 2), (0.96, 10), (1.0, 10)])
def test_a_share_of_ten_clients(share, count):
    assert how_many(share, 10, "spec") == count


@pytest.mark.parametrize("share", [0, 11, 0.04, -1, 1.06])
def test_a_share_of_nobody_or_more_than_all(share):
    with pytest.raises(BadInput, match="of 10 clients: at least 1 and at most all"):
        how_many(share, 10, "spec")


@pytest.mark.parametrize(("make", "text"), [
    (lambda: ALIE.of(Crew(10, 1, {0: None}, 2, None)), "alie of one client"),
    (lambda: MinMax.of(Crew(10, 1, {0: None}, 2, None)), "MinMax of one client"),
    (lambda: SignFlip(0.0), "sign-flip has scale=0.0, it must be above 0"),
    (lambda: SignFlip(float("inf")), "scale is inf, it must be finite"),
    (lambda: SignFlip(1.0, 0), "group is 0, it must be 1 or more"),
    (lambda: IPM(CREW, 0.0), "ipm has epsilon=0.0"),
    (lambda: LabelFlip(1), "classes is 1"),
    (lambda: with_vectors(honest(0, None), other=MEAN), "the update has no vector 'other': it has delta"),
    (lambda: how_many(None, 3, "alie"), "malicious 'alie' does not say how many"),
])  # fmt: skip
def test_what_cannot_misbehave(make, text):
    with pytest.raises(BadInput, match=text):
        make()


def test_malicious_clients_are_drawn_and_some_of_them_know_each_other():
    clients = [Client(f"c{i}", CREW[0]) for i in range(40)]
    bad = infiltrate(clients, "alie:0.5,z=1", cohort=10, seed=3, classes=2)
    numbers = [i for i, client in enumerate(bad) if client.behaviour]
    assert len(numbers) == 20
    assert list(bad[numbers[0]].behaviour.colluders) == numbers[:5]  # as many as a cohort holds
    few = infiltrate(clients, "mimic:4", cohort=10, seed=3, classes=2)
    numbers = [i for i, client in enumerate(few) if client.behaviour]
    assert list(few[numbers[0]].behaviour.colluders) == numbers[:2]


LENGTHS = {"c": 2, "m": 1}


def state(*values: float) -> dict[str, np.ndarray]:
    return {"c": np.array(values[:2], np.float32), "m": np.array(values[2:], np.float32)}


def counted(round: int) -> bytes:
    return Message(bytes(16), Step(round), AGGREGATOR, EVERYBODY, Counted()).to_bytes()


def test_states_of_rounds_in_a_clients_file(tmp_path):
    memory = ClientMemory(tmp_path / "states")
    memory.rewind(0)
    assert memory.folder.stat().st_mode & 0o777 == 0o700

    def recalled() -> list[float]:
        return np.concatenate(list(memory.recall(3, LENGTHS).values())).tolist()

    assert recalled() == [0, 0, 0]
    memory.note([3], state(1, 2, 3), LENGTHS)
    assert recalled() == [0, 0, 0]  # until it has counted
    memory.settle(counted(1), [3], [])
    assert recalled() == [1, 2, 3]
    memory.note([3], state(4, 5, 6), LENGTHS)
    memory.note([3], state(7, 8, 9), LENGTHS)  # of another attempt
    memory.settle(counted(2), [3], [1])
    assert recalled() == [7, 8, 9]
    file = tmp_path / "states" / "3"
    assert file.stat().st_mode & 0o777 == 0o600
    table = np.frombuffer(file.read_bytes()[:64], "<u4")
    assert (sorted(table[:8].tolist())[-2:], table[:8].tolist().count(0)) == ([1, 2], 6)
    slot = table[:8].tolist().index(2)
    data = file.read_bytes()[64 + 12 * slot :][:12]
    assert (data, table[8 + slot]) == (np.array([7, 8, 9], "<f4").tobytes(), crc32(data))
    memory.rewind(1)
    assert recalled() == [1, 2, 3]
    memory.note([3], state(4, 5, 6), LENGTHS)
    memory.rewind(2, [3])  # it counted, and nobody had said so
    assert recalled() == [4, 5, 6]
    for round in range(3, 30):  # slots are used again: none is needed for a round that nobody goes back to
        memory.note([3], state(round, 0, 0), LENGTHS)
        memory.settle(counted(round), [3], [round - 1, round - 2])
    assert recalled() == [29, 0, 0]
    memory.rewind(27)
    assert recalled() == [27, 0, 0]
    both = memory.recall([3, 9], LENGTHS)
    assert (both["c"].tolist(), both["m"].tolist()) == ([[27, 0], [0, 0]], [[0], [0]])
    memory.rewind(0)
    assert recalled() == [0, 0, 0]
    with pytest.raises(PoolFailure, match="is damaged: delete the newest file of checkpoint"):
        memory.settle(counted(1), [3], [])
    memory.note([3], state(1, 1, 1), LENGTHS)
    memory.settle(counted(1), [3], [])
    file.write_bytes(file.read_bytes()[:64] + bytes(12 * 8))
    with pytest.raises(PoolFailure, match="is damaged"):
        recalled()


def test_who_gave_shares_away_is_on_the_disk(tmp_path, monkeypatch):
    forced = []
    monkeypatch.setattr(os, "fsync", lambda file: forced.append(os.fstat(file).st_size))
    memory = ClientMemory(tmp_path)
    memory.reveal([3, 5], 7)
    memory.reveal([4], 8)
    assert forced == [16, 24]
    assert ClientMemory(tmp_path).revealed() == {(3, 7), (5, 7), (4, 8)}
    kept = next(tmp_path.glob("revealed-*"))
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_bytes(kept.read_bytes() + b"torn")
    assert ClientMemory(tmp_path).revealed() == {(3, 7), (5, 7), (4, 8)}
    ClientMemory(tmp_path / "unseen").reveal([1], 1)
    assert not (tmp_path / "unseen").exists()


def test_keys_in_a_vault_are_kept_once_in_a_file_of_its_owner(tmp_path):
    vault = FileVault(tmp_path / "keys")
    vault.keep(b"secret")
    assert vault.kept() == b"secret"
    assert vault.path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CryptoKeyError, match="is not overwritten"):
        vault.keep(b"other")


@pytest.mark.parametrize(("bits", "most"), [(24, 256), (31, 2), (32, 1), (33, 2**31)])
def test_sums_are_exact_in_lanes_as_wide_as_their_integers(bits, most):
    codec = FixedPoint(bits, 1.0, 2)
    assert addable(codec) == most
    layout = layout_of({"delta": Output(2)}, codec, 8)
    total = RunningSum(layout)
    largest = np.full((1, len(layout)), codec.limit, codec.dtype)
    count = min(3 * most, 700)
    for client in range(count):
        total.add(Encoded([client], largest))
    assert total.total().tolist() == [count * codec.limit] * len(layout)


def test_each_clients_own_vector_whole_or_of_its_rows():
    lanes = np.arange(6, dtype=np.int32).reshape(2, 3)
    found = dict(Encoded([4, 9], lanes).vectors(3))
    assert {client: vector.tolist() for client, vector in found.items()} == {4: [0, 1, 2], 9: [3, 4, 5]}
    assert found[4].dtype == np.int64


@pytest.mark.parametrize(
    ("clients", "workers", "shares"), [(5, 2, [[0, 2, 4], [1, 3]]), (2, 5, [[0], [1]]), (3, 1, [[0, 1, 2]])]
)
def test_clients_are_dealt_to_workers_in_turn(clients, workers, shares):
    dealt = Shares(toy_clients(clients), workers)
    assert dealt.workers == len(shares)
    assert [list(dealt.numbers(worker)) for worker in range(dealt.workers)] == shares
    assert [sorted(dealt.sent_to(worker)) for worker in range(dealt.workers)] == shares
    inboxes = {client: bytes([client]) for client in range(clients)}
    assert dealt.split(inboxes) == {
        worker: {client: bytes([client]) for client in share} for worker, share in enumerate(shares)
    }
    with pytest.raises(BadInput, match="workers is 0, at least 1 is needed"):
        Shares(toy_clients(1), 0)


def test_what_rounding_changed_in_a_mean(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda file: pytest.fail("a simulation does not wait for the disk"))
    layout = layout_of({"delta": Output(2)}, FixedPoint(4, 1.0, 9), 8)
    rounding = Rounding(tmp_path / "rounding.jsonl")
    updates = [LocalUpdate({"delta": np.array(d, np.float32)}, n, 0.0) for d, n in (([0.3, 0.5], 8), ([-0.9, 0.1], 4))]
    for round in (1, 1, 2):  # tried again: the last attempt counts
        for client, update in enumerate(updates):
            rounding.note(round, layout, layout, update, Encoded([client], layout.encode(update)[None]))
    rounding.flush()
    rounding.flush()
    rows = [json.loads(line) for line in rounding._file.read_text().splitlines()]
    lanes = np.array([[0.25, 0.5], [-0.5, 0.0]])  # steps of 1/4, of the values times their share
    exact = np.array([[0.3, 0.5], [-0.45, 0.05]], np.float32).astype(float)
    worst = np.abs((lanes - exact).sum(axis=0)).max() / 1.5
    assert [row["round"] for row in rows] == [1, 2]
    assert [row["error"] for row in rows] == pytest.approx([worst, worst], rel=1e-6)
    assert (tmp_path / "rounding.jsonl").stat().st_mode & 0o777 == 0o600


NOISE = Terms.fitting(
    2**23 - 1, where="clients", noise=1.0, clip=1.0, expected=5, min_cohort=5, honest=1.0, seed=None, adaptive=0.0,
    unit="client", rate=1.0, most=1,
)  # fmt: skip


def judged(policy: Policy, protection, **changes) -> str:
    plan = replace(plan_of(protection, 4), **{"kernels": {"fold": False}} | changes)
    try:
        policy.check(plan, protection)
    except ProtocolError as error:
        return str(error)
    return ""


def test_demands_on_a_plan_at_their_limits(tmp_path):
    plain, masks = Plain(toy_codec()), Masks(toy_codec(), min_cohort=5)
    assert judged(Policy(), plain) == judged(Policy(), masks) == ""
    assert judged(Policy(protections=("masks", "none")), plain) == ""
    assert judged(Policy(protections=("masks", "paillier")), plain) == (
        "the plan names protection none, these clients take part in masks, paillier"
    )
    assert judged(Policy(least_cohort=5), masks) == ""
    assert judged(Policy(least_cohort=6), masks) == "the plan says min_cohort=5, these clients demand 6 or more"
    assert judged(Policy(least_key_bits=9999), masks) == ""  # which has no key
    assert judged(Policy(fingerprint="ab"), plain) == (
        "the plan's key is none, these clients encrypt under ab only: whose is it?"
    )
    folded = {"kernels": {"fold": True}}
    assert judged(Policy(), plain, **folded) == ""
    assert judged(Policy(), masks, **folded).startswith("the plan has workers add up updates in the clear under")
    assert judged(Policy(pki=Pki(tmp_path)), plain).startswith("the plan names protection none, where clients do not")
    assert judged(Policy(least_noise=0.5), masks).startswith("the plan says of noise: none, these clients demand 0.5")
    noisy = {"privacy": NOISE.to_dict()}
    promised = NOISE.promised
    assert judged(Policy(least_noise=promised), masks, **noisy) == ""
    assert judged(Policy(least_noise=promised * 1.001), masks, **noisy).startswith("the plan says of noise: noise=")
    seeded = {"privacy": replace(NOISE, seed=3).to_dict()}
    assert judged(Policy(), masks, **seeded) == ""
    assert "follows from a seed" in judged(Policy(least_noise=0.1), masks, **seeded)
    few = Masks(toy_codec(), min_cohort=4)
    assert judged(Policy(), few, **noisy).startswith("the plan counts on the noise of 5 clients, and its protection")
    assert judged(Policy(), plain, **noisy) == ""


@pytest.mark.parametrize(("given", "text"), [
    ({"pki": "folder"}, "pki is 'folder': give Pki"), ({"protections": "masks"}, "protections is 'masks': give a list"),
    ({"least_cohort": 0}, "least_cohort is 0"), ({"least_key_bits": 0.5}, "least_key_bits is 0.5"),
    ({"least_threshold": -1}, "least_threshold is -1"), ({"least_noise": 0}, "least_noise is 0"),
])  # fmt: skip
def test_demands_that_are_none(given, text):
    with pytest.raises(BadInput, match=f"^{text}"):
        Policy(**given)


def test_a_trustee_fewer_than_demanded_is_refused():
    protection = Threshold(2, 3, key_bits=512, codec=toy_codec(), insecure_test_key=True)
    assert judged(Policy(least_threshold=3), protection) == (
        "the plan says threshold=2, these clients demand 3 or more"
    )
    assert "demand" not in judged(Policy(least_threshold=2), protection)
