"""An aggregator's plan that asks clients for less than they agreed to is refused before anybody trains."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aggregator import Aggregator
from clients import InlinePool, Policy, ProcessPool
from fedlearn.crypto import generate_keypair
from fedlearn.crypto.threshold import deal
from fedlearn.errors import BadInput
from fedlearn.privacy import Privacy
from fedlearn.protocol import FIRST_OPENER, Message
from fedlearn.secure import Masks, Threshold
from fedlearn.travel import description
from tests.toys import TOY_BITS, toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

POOLS = {"inline": InlinePool, "processes": ProcessPool}
PROTECTIONS = {"paillier": toy_paillier, "masks": lambda: Masks(toy_codec())}


def toy_threshold(t: int = 2, n: int = 3) -> Threshold:
    return Threshold(t, n, key_bits=256, codec=toy_codec(), insecure_test_key=True)


def lied_to(pool, agreed, **lies):
    """A run whose aggregator sends its clients another plan than it follows; lies: fields of that, or what makes one
    of the honest field."""
    start = pool.start

    def start_by_another(plan: bytes, log=None) -> None:
        message = Message.from_bytes(plan)
        said = {name: lie(getattr(message.body, name)) if callable(lie) else lie for name, lie in lies.items()}
        start(replace(message, body=replace(message.body, **said)).to_bytes(), log)

    pool.start = start_by_another
    return Aggregator(toy_model(), toy_strategy(), agreed).fit(pool, 1)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_nobody_adds_up_updates_in_the_clear_under_a_protection(protection, pool):
    clients = POOLS[pool](toy_clients(4))
    with pytest.raises(BadInput, match=f"add up updates in the clear under protection {protection}"):
        lied_to(clients, PROTECTIONS[protection](), kernels=lambda kernels: {**kernels, "fold": True})


def test_a_key_of_another_size_than_the_plan_says_is_refused():
    small, _ = generate_keypair(256, insecure_test_key=True)
    with pytest.raises(BadInput, match=f"says key_bits={TOY_BITS}, and its key has 256"):
        lied_to(InlinePool(toy_clients()), toy_paillier(), keys={FIRST_OPENER: small.to_bytes()})


def test_a_second_key_holder_is_refused():
    with pytest.raises(BadInput, match="the plan has 2 keys"):
        lied_to(InlinePool(toy_clients()), toy_paillier(), keys=lambda keys: {**keys, FIRST_OPENER - 1: b"mine"})


def test_a_key_that_fewer_trustees_open_than_the_plan_says_is_refused():
    fewer, _ = deal(2, 3, 256, insecure_test_key=True)
    keys = {FIRST_OPENER - i: bytes(32) + fewer.to_bytes() for i in range(3)}
    with pytest.raises(BadInput, match="says threshold:3/3, and its key is 2/3"):
        lied_to(InlinePool(toy_clients()), toy_threshold(3, 3), keys=keys)


@pytest.mark.parametrize("pool", POOLS)
def test_clients_that_want_protection_train_under_no_other(pool):
    clients = POOLS[pool](toy_clients(), policy=Policy(protections=("paillier", "threshold")))
    with pytest.raises(BadInput, match="names protection none, these clients take part in paillier, threshold"):
        lied_to(clients, toy_paillier(), protection=description(toy_plain()), keys={})


def test_a_protection_that_only_calls_itself_so_is_seen_through():
    clients = InlinePool(toy_clients(), Policy(protections=("paillier",)))
    with pytest.raises(BadInput, match="names protection none"):
        lied_to(clients, toy_paillier(), protection={**description(toy_plain()), "name": "paillier"}, keys={})


@pytest.mark.parametrize("pool", POOLS)
def test_clients_encrypt_under_the_key_that_they_know_alone(pool):
    """Else whoever writes the plan reads each update by a key of its own."""
    known, _ = generate_keypair(TOY_BITS, insecure_test_key=True)
    clients = POOLS[pool](toy_clients(), policy=Policy(fingerprint=known.fingerprint.hex()))
    with pytest.raises(BadInput, match=rf"these clients encrypt under {known.fingerprint.hex()} only"):
        Aggregator(toy_model(), toy_strategy(), toy_paillier()).fit(clients, 1)
    with pytest.raises(BadInput, match="the plan's key is none"):
        Aggregator(toy_model(), toy_strategy(), toy_plain()).fit(clients, 1)


@pytest.mark.parametrize(
    ("policy", "protection", "says"),
    [
        (Policy(least_key_bits=2048), toy_paillier(), f"key_bits={TOY_BITS}, these clients demand 2048 or more"),
        (Policy(least_cohort=5), toy_paillier(), "min_cohort=3, these clients demand 5 or more"),
        (Policy(least_cohort=2), toy_plain(), "min_cohort=1, these clients demand 2 or more"),
        (Policy(least_threshold=3), toy_threshold(), "threshold=2, these clients demand 3 or more"),
    ],
)
def test_what_an_owner_demands(policy, protection, says):
    with pytest.raises(BadInput, match=says):
        Aggregator(toy_model(), toy_strategy(), protection).fit(InlinePool(toy_clients(), policy), 1)


def test_a_plan_that_has_what_is_demanded_is_followed():
    policy = Policy(protections=["masks", "paillier"], least_key_bits=TOY_BITS, least_cohort=3, least_threshold=9)
    history = Aggregator(toy_model(), toy_strategy(), toy_paillier()).fit(InlinePool(toy_clients(), policy), 1)
    assert history.counted == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (None, "noise: none, these clients demand 1 or more"),
        (Privacy(noise=0.5, clip=1, delta=0.1), "noise: noise=0.5, these clients demand 1 or more"),
        (Privacy(noise=1, clip=1, delta=0.1, seed=1), "anybody can take it off"),
    ],
)
def test_clients_demand_noise(asked, says):
    pool = InlinePool(toy_clients(), Policy(least_noise=1))
    with pytest.raises(BadInput, match=says):
        Aggregator(toy_model(), toy_strategy(), toy_paillier(), privacy=asked).fit(pool, 1)
    enough = Privacy(noise=1, clip=1, delta=0.1)
    assert Aggregator(toy_model(), toy_strategy(), toy_paillier(), privacy=enough).fit(pool, 1).counted == 1


def test_clients_refuse_to_add_less_noise_than_the_smallest_sum_needs():
    asked = Privacy(noise=1, clip=1, delta=0.1, where="clients", honest=1)
    aggregator = Aggregator(toy_model(), toy_strategy(), toy_paillier(), privacy=asked)
    pool = InlinePool(toy_clients(6))
    start = pool.start

    def start_by_another(plan: bytes, log=None) -> None:
        message = Message.from_bytes(plan)
        privacy = {**message.body.privacy, "min_cohort": 6}
        start(replace(message, body=replace(message.body, privacy=privacy)).to_bytes(), log)

    pool.start = start_by_another
    with pytest.raises(BadInput, match="counts on the noise of 6 clients"):
        aggregator.fit(pool, 1)


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"least_noise": 0}, "least_noise is 0"),
        ({"protections": "masks"}, "give a list of names"),
        ({"least_cohort": 0}, "least_cohort is 0"),
    ],
)
def test_rules_that_measure_nothing_are_refused(rules, says):
    with pytest.raises(BadInput, match=says):
        Policy(**rules)
