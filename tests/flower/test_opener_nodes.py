"""Openers that are nodes: each has its key on a machine of its own, and is none of the clients."""

from __future__ import annotations

import copy
import functools
import operator
import shutil
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from aggregator.flower import openers
from clients.flower.opening import opened
from fedlearn.crypto import EncryptedVector
from fedlearn.crypto.keyfiles import read_public, write_private, write_public
from fedlearn.crypto.keys import generate_keypair
from fedlearn.crypto.signing import SIGNATURE_BYTES
from fedlearn.errors import BadInput, CryptoKeyError, OpeningRefused
from fedlearn.flower.letters import Letter, for_opener, of_opener
from fedlearn.protocol import Message, Opened, OpenRequest, Refusal
from fedlearn.secure import Threshold
from fedlearn.secure.kept import PRIVATE, PUBLIC, SHARED, share_name
from fedlearn.secure.signed import MODEL_BYTES
from fedlearn.secure.threshold import deal_into
from tests.flower.test_secure_sums import CODEC, NODES, client, paillier, run, secure

FRONT = MODEL_BYTES + SIGNATURE_BYTES  # of a signed update, before its payload


def role(folder, **own) -> dict:
    return {"fedlearn-role": "opener", "fedlearn-keys": str(folder), "fedlearn-insecure-test-key": True, **own}


@pytest.fixture
def holder(tmp_path):
    public, private = generate_keypair(512, insecure_test_key=True)
    write_public(tmp_path / PUBLIC, public)
    write_private(tmp_path / PRIVATE, private)
    return tmp_path, public.fingerprint.hex()


def opened_by(folders, strategy, pin=None, **own):
    """A run whose first nodes are openers with these folders."""

    def node_config(node):
        if node < len(folders):
            return role(folders[node], **own)
        number = {"partition-id": node - len(folders)}
        return number | ({"fedlearn-fingerprint": pin} if pin else {})

    return run(strategy, client(), rounds=2, nodes=NODES + len(folders), node_config=node_config)


def same(one, other) -> None:
    for name, array in other.arrays.items():
        np.testing.assert_array_equal(one.arrays[name].numpy(), array.numpy())


def test_a_key_holder_at_a_node_opens_what_one_beside_the_server_would(holder):
    folder, fingerprint = holder
    strategy = secure(openers="node")
    same(opened_by([folder], strategy, pin=fingerprint), run(secure(), client(), rounds=2))
    assert [(opened.round, opened.addends) for opened in strategy.opened] == [(1, NODES), (2, NODES)]
    (memory,) = folder.glob("opened-*")
    assert len(memory.read_text().splitlines()) == 2


def test_trustees_at_three_nodes_each_with_one_share(tmp_path):
    dealt = tmp_path / "dealt"
    dealt.mkdir()
    deal_into(2, 3, 512, True, dealt)
    folders = []
    for trustee in (1, 2, 3):
        folders.append(tmp_path / f"machine-{trustee}")
        folders[-1].mkdir()
        for name in (SHARED, share_name(trustee)):
            shutil.copy(dealt / name, folders[-1] / name)
    threshold = Threshold(2, 3, key_bits=512, codec=CODEC, min_cohort=3, insecure_test_key=True)
    same(opened_by(folders, secure(protection=threshold, openers="node")), run(secure(), client(), rounds=2))


def test_an_openers_owner_may_demand_more_addends_than_the_plan(holder, caplog):
    folder, _ = holder
    strategy = secure(openers="node")
    opened_by([folder], strategy, **{"fedlearn-least-cohort": NODES + 1})
    assert strategy.opened == []
    assert f"{NODES} clients signed, at least {NODES + 1} are required" in caplog.text


def test_nodes_that_pin_another_key_take_no_part(holder, caplog):
    folder, _ = holder
    with pytest.raises(BadInput, match="refused its task"):
        opened_by([folder], secure(openers="node"), pin="ab" * 16)
    assert "these clients encrypt under abab" in caplog.text


def test_an_opener_without_a_key_is_told_where_none_was(tmp_path):
    with pytest.raises(CryptoKeyError, match=r"opener at node 1000000: .* holds 0 secrets: an opener has one"):
        opened_by([tmp_path], secure(openers="node"))


def test_openers_that_never_come_are_waited_for_no_longer_than_is_said():
    with pytest.raises(BadInput, match=r"0 of 1 opener is there: start nodes with --node-config 'fedlearn-role="):
        run(secure(openers="node", deadline=0.1), client())


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"fedlearn-role": "holder"}, "the one role is"),
        ({"fedlearn-fingerprint": "ab"}, "of an opener has fedlearn-fingerprint: choose role, keys"),
    ],
)
def test_what_an_openers_node_config_cannot_say(holder, own, said, caplog):
    folder, _ = holder
    with pytest.raises((BadInput, CryptoKeyError)):
        opened_by([folder], secure(openers="node", deadline=0.5), **own)
    assert said in caplog.text


def test_openers_is_one_of_two_words():
    with pytest.raises(BadInput, match="openers is 'machine': choose process or node"):
        secure(protection=paillier(), openers="machine")


def vectors_sum(vectors) -> bytes:
    return functools.reduce(operator.add, map(copy.deepcopy, vectors)).to_bytes()


def test_a_server_that_asks_an_opener_again_for_fewer_of_a_rounds_updates_is_refused(holder, monkeypatch, tmp_path):
    """Each message finds the opener anew; what it opened it knows from its own file, and no letter makes it forget."""
    folder, _ = holder
    letters = []
    send = openers._sent
    monkeypatch.setattr(
        openers, "_sent", lambda grid, sent, *rest: letters.extend(sent.values()) or send(grid, sent, *rest)
    )
    opened_by([folder], secure(openers="node"))
    last = letters[-1]
    assert last.ask == Letter.OPEN
    updates, requests = of_opener(last.inbox)
    asked = Message.from_bytes(requests[-1])
    public = read_public(folder / PUBLIC, insecure_test_key=True)
    fewer = updates[1:]
    vectors = [EncryptedVector.from_bytes(Message.from_bytes(u).body.payload[FRONT:], public) for u in fewer]
    context = Context(1, 9, role(folder), RecordDict(), {})

    def answer(told, payload, context=context):
        request = replace(asked, body=OpenRequest(payload)).to_bytes()
        letter = replace(last, inbox=for_opener(told, [request]))
        return Message.from_bytes(opened(letter, context)).body

    with pytest.raises(OpeningRefused, match="nothing was asked for"):
        opened(replace(last, inbox=for_opener(updates[1:], updates[:1])), context)
    forgetful = tmp_path / "new"  # it has opened nothing, and its owner demands less than the plan's 3
    shutil.copytree(folder, forgetful, ignore=shutil.ignore_patterns("opened-*", "new"))
    two = answer(updates[2:], vectors_sum(vectors[1:]), Context(1, 9, role(forgetful), RecordDict(), {}))
    assert isinstance(two, Refusal)
    assert "2 clients signed, at least 3 are required" in two.reason

    refusal = answer(fewer, vectors_sum(vectors))
    assert isinstance(refusal, Refusal)
    assert "once more only for the same clients and the same model" in refusal.reason
    again = answer(updates, asked.body.payload)  # the same sum tells nothing more
    assert isinstance(again, Opened)
