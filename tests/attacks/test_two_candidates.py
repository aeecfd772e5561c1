"""The two-mail game can be won where nothing random hides the plaintext, and not where something does."""

from __future__ import annotations

import numpy as np
import pytest
from gmpy2 import mpz

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool
from fedlearn.attacks.base import NotReadable
from fedlearn.attacks.two_candidates import guess_candidates, residue_size
from fedlearn.crypto import EncryptedVector, generate_keypair
from fedlearn.protocol import PartyView
from fedlearn.secure import Masks, Plain
from tests.toys import TOY_BITS, toy_bags, toy_codec, toy_model, toy_paillier, toy_strategy


def play(tmp_path, protection, players=60):
    """(guesses, truth) of a round whose clients each hold one of two known data sets."""
    candidates = [toy_bags(5, seed=1), toy_bags(5, seed=2)]
    truth = np.random.default_rng(0).permutation(np.arange(players) % 2)
    clients = [Client(f"player-{i}", candidates[held]) for i, held in enumerate(truth)]
    folder = RunFolder(tmp_path, {}, {}, record=True)
    Aggregator(toy_model(), toy_strategy(), protection, folder=folder, seed=1).fit(InlinePool(clients), 1)
    guesses = guess_candidates(PartyView.load(tmp_path), candidates)
    return np.array([guesses[i] for i in range(players)]), truth


def test_plain_updates_lose_the_secret_every_time(tmp_path):
    guesses, truth = play(tmp_path, Plain(toy_codec(addends=60)))
    assert guesses.tolist() == truth.tolist()


def test_encrypted_updates_are_guessed_no_better_than_a_coin(tmp_path):
    guesses, truth = play(tmp_path, toy_paillier(codec=toy_codec(addends=60)))
    right = np.mean(guesses == truth)
    assert 0.2 < right < 0.8  # 4.6 standard deviations: fails once in 200,000 runs
    assert set(guesses) == {0, 1}


def test_masked_updates_are_no_payloads_of_this_game(tmp_path):
    with pytest.raises(NotReadable, match="masks has no key"):
        play(tmp_path, Masks(toy_codec(addends=4)), players=4)


class NoRandomness:
    """Encryption as it must not be: r = 1 for every ciphertext."""

    def __init__(self, public):
        self.public = public

    def factors(self, count: int) -> list[mpz]:
        return [mpz(1)] * count


def test_the_same_attacker_wins_where_the_randomiser_is_missing():
    public, _ = generate_keypair(TOY_BITS, insecure_test_key=True)
    rng = np.random.default_rng(3)
    for _ in range(20):
        mine, other = rng.integers(-1000, 1000, size=(2, 30))
        bare = EncryptedVector.encrypt(public, mine, toy_codec(), NoRandomness(public))
        assert residue_size(bare, mine) == 0
        assert residue_size(bare, other) > 0
        proper = public.encrypt(mine, toy_codec())
        assert residue_size(proper, mine) > 1e-6
