"""Key files at their limits, and tables that are made once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from fedlearn.crypto import fixedbase, generate_keypair
from fedlearn.crypto import randomisers as room
from fedlearn.crypto.checks import array_of, real, whole
from fedlearn.crypto.fixedbase import NO_TABLE, choose_shape
from fedlearn.crypto.keyfiles import (
    MAX_KEY_FILE,
    MAX_SECRET_FILE,
    SEED_BYTES,
    read_private,
    read_public,
    read_secret,
    read_seed,
    write_private,
    write_public,
)  # fmt: skip
from fedlearn.crypto.modexp import in_threads, libcrypto
from fedlearn.crypto.randomisers import DjnRandomiser, default_randomiser
from fedlearn.errors import CodecError, CryptoKeyError
from fedlearn.parts import shared_out
from tests.crypto.known import PRIVATE, PUBLIC


def test_modes_of_key_files_whatever_the_umask(tmp_path):
    before = os.umask(0o777)
    try:
        write_public(tmp_path / "public", PUBLIC)
        write_private(tmp_path / "private", PRIVATE)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("public", "private")] == [0o644, 0o600]
    assert "encrypted" not in json.loads((tmp_path / "private").read_text())
    assert read_private(tmp_path / "private", insecure_test_key=True) == PRIVATE
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    write_public(tmp_path / "public", PUBLIC)
    (tmp_path / "public").chmod(0o777)
    assert read_public(tmp_path / "public", insecure_test_key=True) == PUBLIC  # nobody minds who reads it
    with pytest.raises(CryptoKeyError, match="exists and is not overwritten"):
        write_private(tmp_path / "private", PRIVATE)


def test_a_key_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    forced = []
    monkeypatch.setattr(os, "fsync", lambda file: forced.append((os.fstat(file).st_size, os.listdir(tmp_path))))
    write_private(tmp_path / "private", PRIVATE)
    ((size, there),) = forced
    assert size == (tmp_path / "private").stat().st_size
    assert "private" not in there


def kept(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def test_files_of_as_many_bytes_as_may_be_and_one_more(tmp_path):
    write_public(tmp_path / "key", PUBLIC)
    data = (tmp_path / "key").read_bytes()
    assert read_public(kept(tmp_path / "a", data.ljust(MAX_KEY_FILE)), insecure_test_key=True) == PUBLIC
    with pytest.raises(CryptoKeyError, match=f"has more than {MAX_KEY_FILE:,} bytes: no key file"):
        read_public(kept(tmp_path / "a", data.ljust(MAX_KEY_FILE + 1)), insecure_test_key=True)
    assert read_secret(kept(tmp_path / "b", bytes(MAX_SECRET_FILE))) == bytes(MAX_SECRET_FILE)
    with pytest.raises(CryptoKeyError, match=f"has more than {MAX_SECRET_FILE:,} bytes"):
        read_secret(kept(tmp_path / "b", bytes(MAX_SECRET_FILE + 1)))
    assert read_seed(kept(tmp_path / "c", bytes(SEED_BYTES))) == bytes(SEED_BYTES)
    with pytest.raises(CryptoKeyError, match="has 31 bytes in the place of 32: bring the right file back"):
        read_seed(kept(tmp_path / "c", bytes(SEED_BYTES - 1)))
    with pytest.raises(CryptoKeyError, match="has more than 32 bytes"):
        read_seed(kept(tmp_path / "c", bytes(SEED_BYTES + 1)))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o610])
def test_a_secret_that_others_can_use_is_refused(tmp_path, mode):
    kept(tmp_path / "a", b"x").chmod(mode)
    with pytest.raises(CryptoKeyError, match=f"has mode 0{mode:o}, so others can read it: chmod 600"):
        read_secret(tmp_path / "a")


@pytest.mark.parametrize(("entries", "text"), [
    ([], "holds a list, no key: give the path of a key file"), (5, "holds 5, no key: give"),
    ({"alg": "PAI-GN1"}, "a number of the key is None, not base64"),
    ({"alg": "PAI-GN1", "n": "*"}, r"a number of the key is '\*', not base64"),
    ({"alg": "PAI-GN1", "n": "A" * 2735}, "the 0-bit modulus is not a product of two odd primes"),
    ({"alg": "PAI-GN1", "n": "A" * 2736}, "a number of the key has 2,736 characters: at most 2,731 for 16384 bits"),
    ({"alg": "RSA"}, "a key for algorithm 'RSA' is no Paillier key"),
    ({"alg": "R" * 38}, "a key for algorithm '" + "R" * 38 + "' is no"),
    ({"alg": "R" * 39}, "a key for algorithm '" + "R" * 39 + r"\.\.\. is no"),
])  # fmt: skip
def test_what_is_no_public_key_is_shown_shortly(tmp_path, entries, text):
    with pytest.raises(CryptoKeyError, match=text):
        read_public(kept(tmp_path / "a", json.dumps(entries).encode()), insecure_test_key=True)


def test_a_private_key_that_lacks_a_part_is_named(tmp_path):
    write_private(tmp_path / "key", PRIVATE)
    stored = json.loads((tmp_path / "key").read_text())
    for name in ("p", "q", "pub"):
        left = {key: value for key, value in stored.items() if key != name}
        with pytest.raises(CryptoKeyError, match=f"holds no Paillier private key: '{name}' is missing"):
            read_private(kept(tmp_path / "a", json.dumps(left).encode()), insecure_test_key=True)
    other = generate_keypair(512, insecure_test_key=True)[1]
    write_private(tmp_path / "other", other)
    mixed = stored | {"pub": json.loads((tmp_path / "other").read_text())["pub"]}
    with pytest.raises(CryptoKeyError, match="the primes do not belong to its public key"):
        read_private(kept(tmp_path / "a", json.dumps(mixed).encode()), insecure_test_key=True)


def test_another_system_takes_no_library_of_openssl(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert libcrypto.__wrapped__() is None


@pytest.mark.parametrize(("threads", "parts"), [(1, [5]), (2, [3, 2]), (3, [2, 2, 1]), (9, [1] * 5), (0, [5])])
def test_work_is_shared_out_among_threads(threads, parts):
    seen = []

    def work(numbers):
        seen.append(len(numbers))
        return [n + 1 for n in numbers]

    assert in_threads(threads, list(range(5)), work) == [1, 2, 3, 4, 5]
    assert sorted(seen, reverse=True) == parts
    assert in_threads(threads, [], work) == []


@pytest.mark.parametrize(
    ("count", "among", "parts"),
    [
        (0, 3, []), (5, 1, [5]), (5, 0, [5]), (5, -1, [5]), (5, 2, [3, 2]), (6, 2, [3, 3]), (6, 4, [2, 2, 2]),
        (7, 3, [3, 3, 1]), (3, 3, [1, 1, 1]), (3, 9, [1, 1, 1]),
    ],
)  # fmt: skip
def test_parts_are_equally_long_but_for_the_last(count, among, parts):
    found = shared_out(count, among)
    assert [part.stop - part.start for part in found] == parts
    assert [at for part in found for at in range(part.start, part.stop)] == list(range(count))


@pytest.fixture
def tables(monkeypatch):
    """Tables of this test's own, and what they were made for."""
    made = []

    class Watched(DjnRandomiser):
        def __init__(self, public, expected, **more):
            made.append(expected)
            super().__init__(public, expected, **more)

    monkeypatch.setattr(room, "DjnRandomiser", Watched)
    monkeypatch.setattr(room, "_shared", room._Shared())
    return made


def test_a_table_is_for_what_was_asked_so_far_and_half_of_the_last_again(tables):
    first = default_randomiser(PUBLIC, 100)
    assert tables == [150]
    assert default_randomiser(PUBLIC, 1) is first
    many = default_randomiser(PUBLIC, 100_000)
    assert tables == [150, 150_101]
    assert many.shape != first.shape
    assert many.shape == choose_shape(256, PUBLIC.ciphertext_bytes, 150_101, room.MEMORY_LIMIT, first.shape)


def test_two_keys_keep_their_tables_and_the_one_not_used_for_longest_goes(tables):
    keys = [generate_keypair(128, insecure_test_key=True)[0] for _ in range(3)]
    found = [default_randomiser(key, 10) for key in keys[:2]]
    assert default_randomiser(keys[0], 0) is found[0]
    default_randomiser(keys[2], 10)
    assert default_randomiser(keys[0], 0) is found[0]
    assert default_randomiser(keys[1], 10) is not found[1]


def test_the_least_bits_of_a_secret_exponent():
    full = generate_keypair(128, insecure_test_key=True)[0]
    assert DjnRandomiser(full, 1, exponent_bits=64)._powers.exponent_bits == 64
    assert DjnRandomiser(full, 1)._powers.exponent_bits == 64
    with pytest.raises(CryptoKeyError, match="exponents of 63 bits are too short for a 128-bit key: at least 64"):
        DjnRandomiser(full, 1, exponent_bits=63)
    assert choose_shape(64, 32, 0, 1 << 20) == choose_shape(64, 32, 100, 0) == NO_TABLE
    every = fixedbase._shapes(1024, 1 << 40)
    assert (max(shape.window for shape in every), max(shape.steps for shape in every)) == (16, 64)
    for shape in every[::20]:
        memory = shape.entries * (512 + 176)
        assert choose_shape(1024, 512, 10**12, memory) == shape
        assert choose_shape(1024, 512, 10**12, memory - 1).entries < shape.entries
    made = choose_shape(256, 512, 100, 1 << 25)
    assert choose_shape(256, 512, 256, 1 << 25, made) == made != choose_shape(256, 512, 256, 1 << 25)


def test_numbers_that_arguments_may_be():
    assert (whole("n", np.int8(3)), type(whole("n", np.int8(3)))) == (3, int)
    assert (real("x", np.float32(0.5)), type(real("x", 3))) == (0.5, float)
    for bad in (True, np.True_, 0.5, "1", None):
        with pytest.raises(CodecError, match="n is "):
            whole("n", bad)
    for bad in (True, "1", 1j, 10**400, None):
        with pytest.raises(CodecError, match="x is "):
            real("x", bad)
    assert array_of([], "iu", "integers").size == 0
    for bad in ([0.5], np.zeros(0, "U1"), np.zeros(0, bool)):
        with pytest.raises(CodecError, match="are not a codec's: give an array of integers"):
            array_of(bad, "iu", "integers")
