"""What the parties under masks refuse: damaged, forged or impossible messages, and a second share of any client."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import pytest

from fedlearn.crypto.shamir import SHARE_BYTES
from fedlearn.errors import BadInput, ProtocolError, RoundVoid
from fedlearn.secure import Masks
from tests.secure.attempts import PHASES, Attempt, records, survivors, table
from tests.toys import toy_codec


def test_one_share_a_client_is_revealed_and_only_once():
    attempt = Attempt(Masks(toy_codec()), 5).upto("update")
    attempt.play("update", vanish=[4])
    attempt.play("check")
    inbox = attempt.server.inboxes("unmask", attempt.alive)[0]
    revealed = records(attempt.clients[0].step("unmask", inbox, None), SHARE_BYTES)
    assert sorted(revealed) == [0, 1, 2, 3, 4]
    for phase in PHASES:
        with pytest.raises(ProtocolError, match="each is answered once, in order"):
            attempt.clients[0].step(phase, inbox, attempt.vectors[0])


def test_a_client_vouches_for_one_set_of_survivors():
    attempt = Attempt(Masks(toy_codec()), 5).upto("check")
    attempt.clients[0].step("check", survivors(0, 1, 2, 3), None)
    with pytest.raises(ProtocolError, match="each is answered once, in order"):
        attempt.clients[0].step("check", survivors(0, 2, 3, 4), None)


def test_an_aggregator_that_wants_both_shares_of_a_client_is_refused():
    """It tells two clients that 4 vanished and the others that it survived. At most one camp is a majority."""
    attempt = Attempt(Masks(toy_codec()), 5).upto("check")
    camps = {client: (0, 1, 2, 3) if client < 2 else (0, 1, 2, 3, 4) for client in range(5)}
    said = {c: records(attempt.clients[c].step("check", survivors(*camps[c]), None), 28) for c in range(5)}

    def unmask(client: int, senders) -> bytes:
        inbox = {sender: said[sender][client] for sender in senders if sender != client}
        return attempt.clients[client].step("unmask", table(inbox), None)

    for client in range(4):
        with pytest.raises(ProtocolError, match=r"client-\d sent is damaged, forged, or speaks of other survivors"):
            unmask(client, range(4))
    for client in (0, 1):
        with pytest.raises(ProtocolError, match="2 holders vouch for the survivors, 3 are needed"):
            unmask(client, (0, 1))
    for client in (2, 3, 4):
        unmask(client, (2, 3, 4))


@pytest.mark.parametrize(
    ("inbox", "message"),
    [
        (survivors(0, 1), "told of 2 survivors"),
        (survivors(1, 2, 3), "told of 3 survivors: this client must be among them"),
        (survivors(0, 1, 2, 9), "client-9, which has no part in it"),
        (survivors(0, 1) + survivors(1, 2), "each client once, ascending"),
        (survivors(1, 2) + survivors(0), "each client once, ascending"),
        (survivors(0, 1, 2)[:-1], "11 bytes"),
        (b"", "told of 0 survivors"),
        (survivors(0, 1, 2, 4, 5), "client-4 is said to survive, but its letter never came"),
    ],
)
def test_survivors_that_cannot_be_are_refused(inbox, message):
    attempt = Attempt(Masks(toy_codec()), 6).upto("shares")
    attempt.play("shares", vanish=[4, 5])
    attempt.play("update")
    with pytest.raises(ProtocolError, match=message):
        attempt.clients[0].step("check", inbox, None)
    with pytest.raises(ProtocolError, match="this attempt is at check"):
        attempt.clients[0].step("unmask", b"", None)


def test_too_few_survivors_among_the_holders_are_refused():
    attempt = Attempt(Masks(toy_codec()), 9).upto("check")
    with pytest.raises(ProtocolError, match="4 holders sent an update, 5 are needed"):
        attempt.clients[0].step("check", survivors(0, 1, 2, 3), None)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("damage", [lambda p: p[:-1], lambda p: p + b"\0", lambda p: b""])
def test_a_damaged_payload_costs_its_sender_only(phase, damage):
    attempt = Attempt(Masks(toy_codec()), 7)
    for each in PHASES:
        attempt.play(each, change_up=lambda c, p, each=each: damage(p) if (each, c) == (phase, 2) else p)
    assert "client-2 sent" in attempt.refused[2]
    assert list(attempt.refused) == [2]
    assert attempt.finish().tolist() == attempt.plain_sum().tolist()
    assert (2 in attempt.summed) == (phase in ("check", "unmask"))


def test_records_about_others_out_of_order_or_twice_are_refused():
    attempt = Attempt(Masks(toy_codec(), neighbours=2), 7).upto("shares")
    inboxes = attempt.server.inboxes("shares", attempt.alive)
    letters = records(attempt.clients[0].step("shares", inboxes[0], None), 94)
    one, other = sorted(letters)
    stranger = next(client for client in range(1, 7) if client not in letters)
    record = {client: struct.pack(">I", client) + letters.get(client, bytes(94)) for client in range(7)}
    for payload, said in [
        (record[other] + record[one], "out of order"),
        (record[one] * 2, "out of order"),
        (record[one], "sent 1 record, 2 are expected"),
        (b"".join(sorted([record[one], record[stranger]])), f"record for client-{stranger}"),
    ]:
        with pytest.raises(ProtocolError, match=f"client-0 .*{said}"):
            attempt.server.receive("shares", 0, payload)


@pytest.mark.parametrize("phase", ["update", "unmask"])
def test_a_letter_damaged_under_way_is_noticed_by_its_recipient(phase):
    """Letters and vouchers are authenticated: the aggregator can lose one, not change one."""
    attempt = Attempt(Masks(toy_codec()), 7).upto(phase)
    flip = {"update": 4 + 50, "unmask": 4 + 20}[phase]  # inside the first record, from client 0
    attempt.play(phase, change_down=lambda c, b: b[:flip] + bytes([b[flip] ^ 1]) + b[flip + 1 :] if c == 5 else b)
    assert "client-0 sent is damaged, forged" in attempt.refused[5]
    for each in PHASES[PHASES.index(phase) + 1 :]:
        attempt.play(each)
    assert attempt.finish().tolist() == attempt.plain_sum().tolist()


@pytest.mark.parametrize("vanish", [[], [3]])
def test_false_shares_void_the_round_instead_of_spoiling_the_sum(vanish):
    """A holder lies about its share of client 3's secret, of the seed or of the key."""
    attempt = Attempt(Masks(toy_codec()), 4).upto("update")
    attempt.play("update", vanish)
    attempt.play("check")

    def lie(client: int, payload: bytes) -> bytes:
        shares = records(payload, SHARE_BYTES)
        return table({o: bytes([*s[:-1], s[-1] ^ 1]) if o == 3 and client == 0 else s for o, s in shares.items()})

    attempt.play("unmask", change_up=lie)
    with pytest.raises(RoundVoid, match="client-3's secrets do not give what it announced"):
        attempt.finish()


def invitation(roster, keys: Mapping[int, bytes], digest: bytes = bytes(32)) -> bytes:
    return digest + struct.pack(">I", len(roster)) + survivors(*roster) + table(keys)


@pytest.mark.parametrize(
    ("inbox", "said"),
    [
        (b"", "invitation has 0 bytes"),
        (invitation([1, 2, 3], {}), "must be among them"),
        (invitation([0, 1], {}), r"2 clients: .* 3 \(min_cohort\) to 16 \(addends"),
        (invitation(range(17), {}), "cohort of 17 clients"),
        (invitation([0, 1, 2], {1: bytes(128)}), "other clients than the neighbours"),
        (invitation([0, 1, 2], {1: bytes(128), 5: bytes(128)}), "other clients than the neighbours"),
        (invitation([0, 1, 2], {1: bytes(128), 2: bytes(128)}), "client-1 did not sign the keys"),
        (invitation([0, 1, 2], {1: bytes(128), 2: bytes(127)}), "its records have|a record has"),
        (bytes(32) + b"\xff\xff\xff\xff" + survivors(0, 1, 2), "cohort of 3|other clients"),
    ],
)
def test_invitations_that_cannot_be_are_refused(inbox, said):
    client = Attempt(Masks(toy_codec()), 3).clients[0]
    client.step("keys", b"", None)
    with pytest.raises(BadInput, match=said):
        client.step("shares", inbox, None)


def test_an_aggregator_does_not_choose_a_clients_neighbours():
    """On a sparse graph the keys must be those of the neighbours that roster and digest give."""
    attempt = Attempt(Masks(toy_codec(), neighbours=4), 12).upto("shares")
    inboxes = attempt.server.inboxes("shares", attempt.alive)
    assert len(inboxes[0]) == 32 + 4 + 12 * 4 + 4 * (4 + 128)  # nobody else's keys
    with pytest.raises(ProtocolError, match="other clients than the neighbours"):
        attempt.clients[0].step("shares", bytes([inboxes[0][0] ^ 1]) + inboxes[0][1:], None)
