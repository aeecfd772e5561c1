"""An opener refuses of each group what it refuses of a cohort; the other groups are opened all the same."""

from __future__ import annotations

import random
from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest

from fedlearn.crypto import EncryptedVector
from fedlearn.errors import OpeningRefused
from fedlearn.groups import cut
from fedlearn.protocol import Step
from fedlearn.sampling import Uniform, described
from fedlearn.secure import Threshold
from fedlearn.secure.opened import OpenedRounds
from fedlearn.secure.paillier import KeyHolder
from fedlearn.secure.signed import Signed
from fedlearn.secure.threshold import ECHO, Trustee, deal_into
from tests.secure.plans import plan_of
from tests.toys import TOY_BITS, toy_codec, toy_paillier

COUNT, SIZE, SEED, LENGTH = 12, 3, 5, 5
ROUNDS = 9


def plan(protection, cohort=COUNT):
    whole = plan_of(protection, LENGTH, cohort=cohort, rounds=ROUNDS)
    return replace(whole, seed=SEED, group_size=SIZE, sampling=described(Uniform(), COUNT, cohort))


def groups(round, cohort=COUNT):
    return cut(SEED, round, Uniform().sample(SEED, round, COUNT, cohort), SIZE)


def key_holder(dealt, folder, cohort, overlap):
    holder = KeyHolder(TOY_BITS, SIZE, overlap, insecure_test_key=True)
    holder.join(plan(toy_paillier(), cohort))
    return holder, holder._public


def trustee(dealt, folder, cohort, overlap):
    vault, key = dealt
    copytree(vault, folder)  # a trustee deletes the file of its share
    protection = Threshold(2, 3, TOY_BITS, toy_codec(), insecure_test_key=True)
    one = Trustee(**protection.openers(folder)[0].arguments | {"max_overlap": overlap})
    one.join(plan(protection, cohort))
    return one, key.public


@pytest.fixture(scope="module")
def dealt(tmp_path_factory):
    vault = tmp_path_factory.mktemp("vault")
    return vault, deal_into(2, 3, TOY_BITS, True, vault)


@pytest.fixture(params=[key_holder, trustee], ids=["key holder", "trustee"])
def opener(request, dealt, tmp_path):
    return lambda cohort=COUNT, overlap=None: Opener(*request.param(dealt, tmp_path / "vault", cohort, overlap))


class Opener:
    """A real opener, and the updates that it was shown."""

    def __init__(self, opener, public):
        self.opener, self.public = opener, public
        self.sent: dict[tuple[Step, int], EncryptedVector] = {}

    def submit(self, step, clients, model=b"model", addends=1):
        for client in clients:
            vector = self.public.encrypt(np.full(LENGTH, client), toy_codec())
            self.sent[step, client] = vector
            self.opener.submit(step, client, Signed(model, (vector if addends == 1 else vector + vector).to_bytes()))

    def product(self, step, clients):
        return EncryptedVector.sum(self.sent[step, client] for client in sorted(clients))

    def ask(self, step, number, total):
        """Ask for a group's sum: a key holder opens it, a trustee signs that it may be opened."""
        phase = "open" if isinstance(self.opener, KeyHolder) else ECHO
        return self.opener.open(replace(step, phase=phase, group=number), total.to_bytes())

    def ask_for(self, step, number, clients):
        return self.ask(step, number, self.product(step, clients))


def played(opener, **settings):
    """Everybody has sent in round 1, and the first group's sum is open."""
    one, cuts, step = opener(**settings), groups(1), Step(1)
    one.submit(step, range(COUNT))
    one.ask_for(step, 0, cuts[0])
    return one, cuts, step


def test_each_group_has_one_opening_in_all_attempts(opener):
    one, cuts, step = played(opener)
    with pytest.raises(OpeningRefused, match="opened before"):
        one.ask_for(step, 0, cuts[0])
    again = Step(1, attempt=1)
    one.submit(again, range(COUNT))
    with pytest.raises(OpeningRefused, match="opened before"):
        one.ask_for(again, 0, cuts[0])
    for number in (1, 2, 3):
        one.ask_for(again, number, cuts[number])


def test_clients_of_a_group_are_counted_and_not_claimed(opener):
    one, cuts = opener(), groups(1)
    few = sorted(cuts[1])[:2]
    one.submit(Step(1), [*cuts[0], *few])
    with pytest.raises(OpeningRefused, match="2 clients signed, at least 3"):
        one.ask_for(Step(1), 1, few)
    with pytest.raises(OpeningRefused, match="2 clients signed"):
        one.ask_for(Step(1), 1, [*few, min(cuts[0])])
    with pytest.raises(OpeningRefused, match="no signed update"):
        one.ask_for(Step(1), 2, cuts[0])
    one.ask_for(Step(1), 0, cuts[0])


@pytest.mark.parametrize(
    "cheat", ["scaled", "dropped", "added", "swapped", "another group's", "two groups'", "everybody's", "old"]
)
def test_a_sum_that_is_not_the_groups_own_is_refused(opener, cheat):
    one, cuts, step = played(opener)
    mine, other = cuts[1], cuts[2]
    old = one.product(step, mine)
    if cheat == "old":
        step = Step(2)
        mine = groups(2)[1]
        one.submit(step, range(COUNT))
    total = one.product(step, mine)
    asked = {
        "scaled": lambda: total + one.sent[step, min(mine)],
        "dropped": lambda: one.product(step, sorted(mine)[1:]),
        "added": lambda: total + one.public.encrypt(np.ones(LENGTH, int), toy_codec()),
        "swapped": lambda: one.product(step, [*sorted(mine)[1:], min(other)]),
        "another group's": lambda: one.product(step, other),
        "two groups'": lambda: total + one.product(step, other),
        "everybody's": lambda: one.product(step, range(COUNT)),
        "old": lambda: old,
    }[cheat]()
    with pytest.raises(OpeningRefused, match="not the product"):
        one.ask(step, 1, asked)
    one.ask_for(step, 1, mine)


@pytest.mark.parametrize(
    ("times", "wrong", "says"),
    [
        (2, {}, "a second update"),
        (1, {"model": b"another"}, "trained another model"),
        (1, {"addends": 2}, "claims 2 addends"),
    ],
)
def test_what_one_client_does_wrong_costs_its_group_only(opener, times, wrong, says):
    one, cuts = opener(), groups(1)
    liar = min(cuts[1])
    one.submit(Step(1), sorted(set(range(COUNT)) - {liar}))
    one.submit(Step(1), [liar] * times, **wrong)
    with pytest.raises(OpeningRefused, match=f"client-{liar}: .*{says}"):
        one.ask_for(Step(1), 1, cuts[1])
    for number in (0, 2, 3):
        one.ask_for(Step(1), number, cuts[number])


def test_whoever_is_not_drawn_is_in_no_group(opener):
    cohort = 9
    one, drawn = opener(cohort=cohort), Uniform().sample(SEED, 1, COUNT, cohort)
    stranger = min(set(range(COUNT)) - set(drawn))
    one.submit(Step(1), [*drawn, stranger])
    with pytest.raises(OpeningRefused, match=f"does not draw client-{stranger} in round 1: it is in no group"):
        one.ask_for(Step(1), 0, groups(1, cohort)[0])


def test_groups_and_rounds_are_opened_in_rising_order_and_as_many_as_the_plan_has(opener):
    one, cuts, step = played(opener)
    one.ask_for(step, 2, cuts[2])
    with pytest.raises(OpeningRefused, match="asked for after round 1, group 2"):
        one.ask_for(step, 1, cuts[1])
    for round, says in ((3, ""), (2, "asked for after round 3"), (ROUNDS + 1, f"rounds 1 to {ROUNDS}")):
        one.submit(Step(round), range(COUNT), b"%d" % round)
        if not says:
            one.ask_for(Step(round), 1, groups(round)[1])
            continue
        with pytest.raises(OpeningRefused, match=f"{says}|no signed update"):
            one.ask_for(Step(round), 3, groups(round)[3])


def test_groups_of_two_rounds_share_no_more_than_is_allowed(opener):
    one, cuts, _ = played(opener, overlap=1)
    for round in range(2, ROUNDS):
        one.submit(Step(round), range(COUNT), b"%d" % round)
        for number, group in enumerate(groups(round)):
            shared = len(group & cuts[0])
            if shared > 1:
                with pytest.raises(
                    OpeningRefused, match=f"{shared} clients of this .* took part in round 1, at most 1"
                ):
                    one.ask_for(Step(round), number, group)
                return
    raise AssertionError("no group of these rounds shares two clients with the first")


# Whatever is asked for, over rounds, attempts and sessions


def spans_a_sum_of_few(rows):
    """True where some combination of the sums is of one or two clients: leaving out their columns then costs rank."""
    matrix = np.array(rows, float)
    rank = np.linalg.matrix_rank(matrix)
    pairs = [(a, b) for a in range(COUNT) for b in range(a + 1)]
    return any(np.linalg.matrix_rank(np.delete(matrix, list({a, b}), axis=1)) < rank for a, b in pairs)


@pytest.mark.parametrize("seed", range(20))
def test_no_sums_that_an_opener_grants_can_be_subtracted_to_give_fewer_clients(seed, tmp_path):
    """The model stays as it was, as after void rounds; clients vanish, and the aggregator is interrupted, at random."""
    rng, memory = random.Random(seed), tmp_path / "memory"
    opened, granted = OpenedRounds(SIZE, None), []
    opened.recall(memory)
    refused = 0
    for round in range(1, ROUNDS + 1):
        for _ in range(rng.choice((1, 2, 3))):  # attempts, or sessions
            if rng.random() < 0.3:
                opened = OpenedRounds(SIZE, None)
                opened.recall(memory)
            for number, group in enumerate(groups(round)):
                there = [client for client in sorted(group) if rng.random() < 0.9]
                others = rng.sample(range(COUNT), rng.choice((0, 0, 1)))  # of another group, too
                asked = sorted({*there, *others})
                try:
                    opened.check_number((round, number), ROUNDS)
                    opened.check_overlap((round, number), asked)
                    opened.enter((round, number), b"model", asked)
                except OpeningRefused:
                    refused += 1
                    continue
                granted.append([float(client in asked) for client in range(COUNT)])
    assert granted
    assert refused
    assert not spans_a_sum_of_few(granted)


def test_the_oracle_finds_sums_that_can_be_subtracted():
    assert spans_a_sum_of_few([[1.0] * 4 + [0.0] * 8, [1.0] * 3 + [0.0] * 9])
    assert not spans_a_sum_of_few([[1.0] * 6 + [0.0] * 6, [1.0] * 3 + [0.0] * 9])
