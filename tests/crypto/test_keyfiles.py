from __future__ import annotations

import json
import os
import stat

import pytest

from fedlearn.crypto import PublicKey, keyfiles, sealed
from fedlearn.crypto.signing import SigningKey
from fedlearn.errors import CryptoKeyError


@pytest.fixture(autouse=True)
def wide_umask():
    """Files must be private even where the user's umask would let everybody read them."""
    old = os.umask(0)
    yield
    os.umask(old)


@pytest.fixture
def light(monkeypatch):
    """A thousandth of the work to try a passphrase, for tests that are not about it."""
    monkeypatch.setitem(sealed._SCRYPT, "n", 1 << 7)


def test_public_keys_round_trip_and_phe_reads_them(keys, tmp_path):
    from phe.command_line import load_public_key

    path = tmp_path / "public.json"
    keyfiles.write_public(path, keys[0])
    keyfiles.write_public(path, keys[0])
    copy = keyfiles.read_public(path)
    assert copy == keys[0]
    assert copy.blum
    assert load_public_key(json.loads(path.read_text())) == keys[0].phe


def test_private_keys_round_trip(keys, tmp_path):
    path = tmp_path / "private.json"
    keyfiles.write_private(path, keys[1])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keyfiles.read_private(path).primes == keys[1].primes
    assert [p.name for p in tmp_path.iterdir()] == ["private.json"]


def test_phe_decrypts_with_our_file_and_we_with_phes(keys, tmp_path):
    from click.testing import CliRunner
    from phe import command_line

    path = tmp_path / "private.json"
    keyfiles.write_private(path, keys[1])
    ciphertext = command_line.serialise_encrypted(keys[0].phe.encrypt(2.5))
    (tmp_path / "c").write_text(ciphertext)
    result = CliRunner().invoke(command_line.cli, ["decrypt", str(path), str(tmp_path / "c")])
    assert result.exit_code == 0
    assert "2.5" in result.output

    theirs = tmp_path / "theirs.json"
    made = CliRunner().invoke(command_line.cli, ["genpkey", "--keysize", "2048", str(theirs)])
    assert made.exit_code == 0
    theirs.chmod(0o600)
    private = keyfiles.read_private(theirs)
    assert private.phe.decrypt(private.public.phe.encrypt(3)) == 3


def test_passphrases(keys, tmp_path):
    path = tmp_path / "private.json"
    keyfiles.write_private(path, keys[1], passphrase="correct horse")
    text = path.read_text()
    for prime in keys[1].primes:
        assert keyfiles._encode(int(prime)) not in text
    assert keyfiles.read_private(path, "correct horse").primes == keys[1].primes
    with pytest.raises(CryptoKeyError, match="wrong passphrase"):
        keyfiles.read_private(path, "wrong horse")
    with pytest.raises(CryptoKeyError, match="give its passphrase"):
        keyfiles.read_private(path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_private_keys_that_others_can_read_are_refused(keys, tmp_path, mode):
    path = tmp_path / "private.json"
    keyfiles.write_private(path, keys[1])
    path.chmod(mode)
    with pytest.raises(CryptoKeyError, match=f"mode {mode:04o}, so others can read it: chmod 600"):
        keyfiles.read_private(path)


def test_nothing_is_overwritten_and_nothing_half_written_stays(keys, tmp_path):
    path = tmp_path / "private.json"
    path.write_text("precious")
    with pytest.raises(CryptoKeyError, match="not overwritten"):
        keyfiles.write_private(path, keys[1])
    assert path.read_text() == "precious"
    with pytest.raises(CryptoKeyError, match="cannot write key file"):
        keyfiles.write_private(tmp_path / "missing" / "private.json", keys[1])
    assert [p.name for p in tmp_path.iterdir()] == ["private.json"]


def change(**entries):
    return lambda key: json.dumps({**key, **entries})


DAMAGE = {
    "empty": (lambda key: "", "not JSON"),
    "truncated": (lambda key: json.dumps(key)[:-9], "not JSON"),
    "a list": (lambda key: "[]", "no key"),
    "no prime": (lambda key: json.dumps({k: v for k, v in key.items() if k != "p"}), "'p' is missing"),
    "no public half": (change(pub=7), "public half is 7, malformed"),
    "no public half at all": (lambda key: json.dumps({k: v for k, v in key.items() if k != "pub"}), "'pub' is missing"),
    "nested": (lambda key: "[" * 30_000 + "]" * 30_000, "not JSON"),
    "nested in the public half": (change(pub={"n": json.loads("[" * 900 + "]" * 900)}), "algorithm None"),
    "not UTF-8": (lambda key: "\udcff", "not JSON"),
    "large number": (lambda key: '{"p": ' + "9" * 5000 + "}", "not JSON"),
    "large prime": (change(p="_" * 4000), "4,000 characters: at most 2,731 for 16384 bits"),
    "primes too large together": (change(p="_" * 2000, q="_" * 2000), "prime of 12000 bits is too large: at most 8192"),
    "prime not base64": (change(q="!!"), "not base64"),
    "prime not text": (change(q=5), "not base64"),
    "prime of another key": (change(p="3" * 171), "two different primes"),
    "public half of another key": (lambda key: json.dumps({**key, "pub": {**key["pub"], "n": OTHER}}), "do not belong"),
    "too long": (change(padding="x" * 2**20), "more than"),
}
OTHER = keyfiles._encode((2**1279 - 1) * (2**2203 - 1))


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_private_key_files_are_refused(keys, tmp_path, damage, said):
    path = tmp_path / "private.json"
    keyfiles.write_private(path, keys[1])
    path.write_text(damage(json.loads(path.read_text())), errors="surrogateescape")
    with pytest.raises(CryptoKeyError, match=said):
        keyfiles.read_private(path)


@pytest.mark.usefixtures("light")
def test_damaged_encrypted_files_are_refused(keys, tmp_path):
    path = tmp_path / "private.json"
    keyfiles.write_private(path, keys[1], passphrase="x")
    key = json.loads(path.read_text())
    cases = {
        "wrong passphrase, or a damaged": [
            {**key, "pub": {**key["pub"], "blum": False}},
            {**key, "encrypted": {**key["encrypted"], "data": key["encrypted"]["data"][:-2] + "00"}},
        ],
        "malformed": [{**key, "encrypted": {**key["encrypted"], "salt": "zz"}}],
        "unknown way": [{**key, "encrypted": {**key["encrypted"], "n": 2**30}}, {**key, "encrypted": 3}],
    }
    for said, changed in cases.items():
        for entries in changed:
            path.write_text(json.dumps(entries))
            with pytest.raises(CryptoKeyError, match=said):
                keyfiles.read_private(path, "x")


def test_other_files_are_no_public_keys(tmp_path):
    path = tmp_path / "public.json"
    with pytest.raises(CryptoKeyError, match="cannot read"):
        keyfiles.read_public(path)
    path.write_text('{"alg": "RSA", "n": "AQAB"}')
    with pytest.raises(CryptoKeyError, match="'RSA' is no Paillier key"):
        keyfiles.read_public(path)


def test_what_a_file_says_is_shown_short_and_without_its_control_characters(tmp_path):
    path = tmp_path / "public.json"
    for name in ("alg", "n"):
        path.write_text(json.dumps({"alg": "PAI-GN1", name: "\x1b]0;owned\x07\u202e\n" + "x" * 2000}))
        with pytest.raises(CryptoKeyError, match=r"\\x1b\]0;owned") as caught:
            keyfiles.read_public(path)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 200


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        for read in (keyfiles.read_public, keyfiles.read_private):
            with pytest.raises(CryptoKeyError, match=r"no ordinary file|cannot read"):
                read(path)


def test_a_large_file_is_not_read_whole(tmp_path):
    path = tmp_path / "public.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk, and more than there is in memory
    path.chmod(0o600)
    for read, most in ((keyfiles.read_public, 65536), (keyfiles.read_private, 65536), (keyfiles.read_secret, 1 << 20)):
        with pytest.raises(CryptoKeyError, match=f"more than {most:,} bytes"):
            read(path)


@pytest.mark.usefixtures("light")
def test_passphrases_may_be_any_bytes_that_an_environment_holds(keys, tmp_path):
    path = tmp_path / "private.json"
    keyfiles.write_private(path, keys[1], passphrase="caf\udce9")
    assert keyfiles.read_private(path, "caf\udce9") == keys[1]


def test_a_key_of_the_largest_size_fits_its_file(tmp_path):
    path = tmp_path / "public.json"
    n = 2**16383 + 3  # odd, no prime and no square; its small factors pass in a test
    keyfiles.write_public(path, PublicKey(n, insecure_test_key=True))
    assert keyfiles.read_public(path, insecure_test_key=True).n == n
    path.write_text(path.read_text().replace(keyfiles._encode(n), keyfiles._encode(2 * n + 1)))
    with pytest.raises(CryptoKeyError, match="16385-bit Paillier key is too large: at most 16384"):
        keyfiles.read_public(path)


BEGINNINGS = (b"{", b'{"', b"{}", b"[1]", b" ", b"\n{", b'"a"', b"\x80", b"PK", b"\xff")
WHOLE = (b"{", b"{}", b'{"a": 1}', b"[1]", b"")


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("secret", [*(first.ljust(32, b"\0") for first in BEGINNINGS), *WHOLE])
def test_a_secret_may_begin_as_any_file_does(tmp_path, secret):
    path = tmp_path / "secret"
    keyfiles.write_secret(path, secret)
    assert not keyfiles.is_encrypted(path)
    assert keyfiles.read_secret(path) == secret
    locked = tmp_path / "locked"
    keyfiles.write_secret(locked, secret, "passphrase")
    assert keyfiles.is_encrypted(locked)
    assert keyfiles.read_secret(locked, "passphrase") == secret


def test_every_signing_key_is_read_again(tmp_path):
    """One in 256 begins with the bracket of a JSON file."""
    key = SigningKey(b'{"' + bytes(range(30)))
    keyfiles.write_secret(tmp_path / "client-0.private", key.to_bytes())
    assert SigningKey(keyfiles.read_secret(tmp_path / "client-0.private")).public == key.public


@pytest.mark.usefixtures("light")
def test_an_encrypted_file_whose_entries_were_moved_is_encrypted(keys, tmp_path):
    """As an editor or another program may write it."""
    path, moved = tmp_path / "private.json", tmp_path / "moved.json"
    keyfiles.write_private(path, keys[1], passphrase="passphrase")
    moved.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items())), indent=2))
    moved.chmod(0o600)
    assert keyfiles.is_encrypted(moved)
    assert keyfiles.read_private(moved, "passphrase") == keys[1]


@pytest.mark.usefixtures("light")
def test_an_encrypted_secret_that_is_cut_is_no_secret(tmp_path):
    path, cut = tmp_path / "secret", tmp_path / "cut"
    keyfiles.write_secret(path, bytes(32), "passphrase")
    cut.write_bytes(path.read_bytes()[:-20])
    cut.chmod(0o600)
    assert keyfiles.is_encrypted(cut)
    with pytest.raises(CryptoKeyError, match="not JSON: damaged"):
        keyfiles.read_secret(cut, "passphrase")
