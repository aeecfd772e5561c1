"""Keys that are kept in a folder: which protections they make, and what is wrong with a folder that is not whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fedlearn.crypto import generate_keypair, sealed
from fedlearn.crypto.keyfiles import write_private, write_public, write_secret
from fedlearn.crypto.threshold import KeyShare, ThresholdKey, deal
from fedlearn.errors import CryptoKeyError, ProtocolError
from fedlearn.protocol import FIRST_OPENER
from fedlearn.secure import Paillier, Threshold
from fedlearn.secure.kept import PASSPHRASE, KeptKeys, given_passphrase, kept_pair, kept_share, passphrase_of
from tests.crypto.known import PRIVATE, PUBLIC
from tests.secure.plans import plan_of

TOY = {"insecure_test_key": True}
SHARED, SHARES = deal(2, 3, 128, **TOY)


@pytest.fixture
def keys(tmp_path) -> KeptKeys:
    """A folder with a pair and a shared key."""
    write_public(tmp_path / "public.json", PUBLIC)
    write_private(tmp_path / "private.json", PRIVATE)
    (tmp_path / "threshold.key").write_bytes(SHARED.to_bytes())
    for share in SHARES:
        write_secret(tmp_path / f"trustee-{share.trustee}.share", share.to_bytes())
    return KeptKeys(tmp_path)


def lose(keys: KeptKeys, *names: str) -> KeptKeys:
    for name in names:
        (keys.folder / name).unlink()
    return KeptKeys(keys.folder)


def test_a_pair_makes_a_protection_of_its_size(keys):
    for asked in ({}, {"key_bits": 512}):
        protection = Paillier(keys=keys, **asked, **TOY)
        assert protection.key_bits == 512
        assert "keys" not in protection.arguments()
        assert protection == Paillier(512, **TOY)  # wherever its key comes from
    with pytest.raises(CryptoKeyError, match=f"key_bits is 1024, the key in {keys.folder} has 512: leave key_bits out"):
        Paillier(key_bits=1024, keys=keys, **TOY)
    with pytest.raises(CryptoKeyError, match="a 512-bit Paillier key is too small"):
        Paillier(keys=keys)
    (holder,) = protection.openers(Path("vault"))
    assert (holder.asks, holder.trusted, holder.arguments["keys"]) == (True, True, keys)
    assert not Paillier(512, **TOY).openers(Path("vault"))[0].asks
    assert kept_pair(keys, insecure_test_key=True) == (PUBLIC, PRIVATE)


def test_a_shared_key_makes_a_protection_of_its_trustees(keys, caplog):
    for asked in ((), (2, 3)):
        protection = Threshold(*asked, keys=keys, **TOY)
        assert (protection.threshold, protection.trustees, protection.key_bits) == (2, 3, 128)
        assert (protection.dealer(Path("vault")), protection.colluding) == (None, 0)
        assert protection == Threshold(2, 3, key_bits=128, **TOY)
    with pytest.raises(CryptoKeyError, match=f"threshold 3/4: the key in {keys.folder} is 2/3, leave T/N out"):
        Threshold(3, 4, keys=keys, **TOY)
    with pytest.raises(CryptoKeyError, match=r"key_bits is 256, the key in .* has 128: leave key_bits out"):
        Threshold(key_bits=256, keys=keys, **TOY)
    found = Threshold(keys=lose(keys, "trustee-2.share"), **TOY).openers(Path("vault"))
    assert [(spec.party, spec.asks, spec.arguments["share"].name) for spec in found] == [
        (FIRST_OPENER, True, "trustee-1.share"), (FIRST_OPENER - 2, True, "trustee-3.share")
    ]  # fmt: skip
    assert found[0].arguments["key"] == keys.folder / "threshold.key"
    assert [record.getMessage() for record in caplog.records] == [
        f"{keys.folder / 'trustee-2.share'} is lost: the other trustees open sums without it"
    ]
    with pytest.raises(CryptoKeyError, match="holds 1 of 3 shares, 2 are needed to open a sum"):
        Threshold(keys=lose(keys, "trustee-3.share"), **TOY)


def test_new_trustees_have_their_shares_in_the_vault():
    found = Threshold(2, 3, key_bits=128, **TOY)
    assert found.dealer(Path("vault")).arguments["vault"] == Path("vault")
    specs = found.openers(Path("vault"))
    assert [spec.party for spec in specs] == [FIRST_OPENER, FIRST_OPENER - 1, FIRST_OPENER - 2]
    assert [(spec.asks, spec.arguments["share"]) for spec in specs] == [
        (False, Path(f"vault/trustee-{i}.share")) for i in (1, 2, 3)
    ]
    assert (Threshold(4, 5).colluding, Threshold(3, 5).colluding, Threshold(3, 3).colluding) == (2, 0, 2)


def plan(trustees, key: bytes = SHARED.to_bytes()):
    named = {FIRST_OPENER - (i - 1): bytes(32) + key for i in trustees}
    return plan_of(Threshold(2, 3, key_bits=128, **TOY), 4, named)


def test_clients_look_at_whose_key_a_plan_has():
    protection = Threshold(2, 3, key_bits=128, **TOY)
    for trustees in ((1, 2, 3), (1, 2), (1, 3)):
        protection.check_keys(plan(trustees))
    two = replace(
        plan((1, 2)), keys=dict(plan((1,)).keys) | dict(plan((2,), deal(2, 3, 128, **TOY)[0].to_bytes()).keys)
    )
    for asked, said, text in (
        (protection, plan((1,)), "the plan has keys of 1 trustee, which are not those of the protection"),
        (protection, plan((1, 2, 4)), "the plan has keys of 3 trustees, which are not those of the protection"),
        (Threshold(3, 3, key_bits=128, **TOY), plan((1, 2, 3)), "says threshold:3/3, and its key is 2/3: whose is it"),
        (Threshold(2, 3, key_bits=256, **TOY), plan((1, 2, 3)), "says key_bits=256, and its key has 128: whose is it"),
        (protection, two, "the trustees name 2 different keys in the plan, all must hold shares of one"),
    ):
        with pytest.raises(ProtocolError, match=text):
            asked.check_keys(said)


@pytest.mark.parametrize(("lost", "call", "says"), [
    (["public.json"], "pair", "public.json is lost, and no sum can be opened without the public key"),
    (["private.json"], "pair", "private.json is lost, and no sum can be opened without the private key"),
    (["public.json", "private.json"], "pair", "holds keys for threshold: take protection=threshold, or make keys"),
    (["threshold.key"], "shared", "holds keys for paillier: take protection=paillier, or make keys with"),
    (["threshold.key", "public.json"], "shared", "holds keys for paillier: take protection=paillier, or make keys"),
    (["threshold.key", "public.json", "private.json"], "shared", "holds no keys: give the folder of some, or make"),
    (["threshold.key", "public.json", "private.json"], "pair", "holds no keys: give the folder of some, or make"),
])  # fmt: skip
def test_what_a_folder_lacks_is_said(keys, lost, call, says):
    with pytest.raises(CryptoKeyError, match=says):
        getattr(lose(keys, *lost), call)(insecure_test_key=True)


def test_secrets_of_other_keys_are_refused_by_name(keys):
    other = generate_keypair(512, **TOY)[1]
    write_private(keys.folder / "other.json", other)
    (keys.folder / "other.json").rename(keys.folder / "private.json")
    theirs, ours = other.public.fingerprint.hex(), PUBLIC.fingerprint.hex()
    with pytest.raises(CryptoKeyError, match=f"private.json is of key {theirs}, public.json beside it of {ours}: brin"):
        kept_pair(keys, insecure_test_key=True)
    first, second = (keys.folder / f"trustee-{i}.share" for i in (1, 2))
    assert kept_share(first, None, SHARED).trustee == 1
    second.write_bytes(first.read_bytes())
    with pytest.raises(CryptoKeyError, match=f"^{second} is of trustee 1: bring the right file back$"):
        kept_share(second, None, SHARED)
    second.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(CryptoKeyError, match=f"^{second}: a key share of .* does not match its digest"):
        kept_share(second, None, SHARED)
    second.chmod(0o644)
    with pytest.raises(CryptoKeyError, match=f"^{second} has mode 0644"):
        kept_share(second, None, SHARED)


def test_a_passphrase_is_the_first_line_of_its_file_or_in_the_environment(keys, tmp_path, monkeypatch):
    monkeypatch.setitem(sealed._SCRYPT, "n", 1 << 7)
    monkeypatch.delenv(PASSPHRASE, raising=False)
    file, locked = tmp_path / "passphrase", tmp_path / "trustee-3.share"
    locked.unlink()
    write_secret(locked, SHARES[2].to_bytes(), "correct horse")
    write_secret(file, b"correct horse\nbattery")
    assert passphrase_of(tmp_path / "trustee-1.share", file) is None
    assert passphrase_of(locked, file) == given_passphrase(file) == "correct horse"
    assert kept_share(locked, file, SHARED).trustee == 3
    assert given_passphrase(None) is None
    for said, found in (("", None), ("staple", "staple")):
        monkeypatch.setenv(PASSPHRASE, said)
        assert given_passphrase(None) == found
    assert passphrase_of(locked, None) == "staple"
    assert given_passphrase(file) == "correct horse"
    for empty in (b"", b"\nsecond"):
        file.write_bytes(empty)
        with pytest.raises(CryptoKeyError, match="is empty: write the passphrase into its first line"):
            given_passphrase(file)
    for size, taken in ((4096, True), (4097, False)):
        file.write_bytes(b"x" * size)
        if taken:
            assert len(given_passphrase(file)) == size
            continue
        with pytest.raises(CryptoKeyError, match="has more than 4,096 bytes"):
            given_passphrase(file)


def test_where_nobody_can_be_asked_it_is_said(keys, monkeypatch):
    monkeypatch.delenv(PASSPHRASE, raising=False)
    monkeypatch.setattr("fedlearn.secure.kept.is_encrypted", lambda file: True)
    monkeypatch.setattr("fedlearn.secure.kept._has_terminal", lambda: False)
    file = keys.folder / "private.json"
    with pytest.raises(CryptoKeyError, match=f"{file} is encrypted and there is no terminal to ask at: give --passphr"):
        passphrase_of(file, None)
    monkeypatch.setattr("fedlearn.secure.kept._has_terminal", lambda: True)
    for typed in ("typed", ""):
        monkeypatch.setattr("getpass.getpass", lambda prompt, typed=typed: typed)
        if typed:
            assert passphrase_of(file, None) == typed
            continue
        with pytest.raises(CryptoKeyError, match=f"no passphrase was given for {file}: try again"):
            passphrase_of(file, None)


def test_it_reads_what_trustees_need(keys):
    assert isinstance(keys.shared(insecure_test_key=True), ThresholdKey)
    assert keys.shares(3) == {i: keys.folder / f"trustee-{i}.share" for i in (1, 2, 3)}
    assert keys.shares(2) == {i: keys.folder / f"trustee-{i}.share" for i in (1, 2)}
    assert isinstance(kept_share(keys.folder / "trustee-3.share", None, SHARED), KeyShare)
