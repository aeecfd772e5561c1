from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.crypto import modexp
from fedlearn.errors import CryptoKeyError


@pytest.fixture(params=["openssl", "gmp"])
def backend(request, monkeypatch):
    if request.param == "gmp":
        monkeypatch.setattr(modexp, "libcrypto", lambda: None)
    elif modexp.libcrypto() is None:
        pytest.skip("no libcrypto on this system")


def odd_moduli():
    return st.integers(1, 2**600).map(lambda half: 2 * half + 1)


@given(data=st.data(), modulus=odd_moduli(), exponent=st.integers(0, 2**700))
def test_powers_agree_with_pythons_own(data, modulus, exponent):
    bases = data.draw(st.lists(st.integers(0, modulus - 1), max_size=5))
    expected = [pow(base, exponent, modulus) for base in bases]
    assert modexp.powers([mpz(base) for base in bases], mpz(exponent), mpz(modulus)) == expected


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("modulus", [3, *(2**bits + one for bits in (8, 16, 63, 64, 65, 512, 2048) for one in (-1, 1))])
def test_both_libraries_take_powers_at_the_edges_of_a_word(modulus):
    modulus = mpz(modulus)
    bases = [mpz(0), mpz(1), mpz(2) % modulus, modulus // 3, modulus - 1, mpz(12345) % modulus]
    for exponent in (0, 1, 2, 255, 256, 2**64, modulus + 2):
        assert modexp.powers(bases, mpz(exponent), modulus) == [pow(base, exponent, modulus) for base in bases]
    assert modexp.powers([], mpz(3), modulus) == []


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("exponent", "modulus"), [(3, 0), (3, 1), (3, 2), (3, 10**20), (3, -15), (-1, 15)])
def test_powers_that_no_key_asks_for_are_refused(exponent, modulus):
    with pytest.raises(CryptoKeyError, match="odd numbers above 1"):
        modexp.powers([mpz(0)], mpz(exponent), mpz(modulus))


@pytest.mark.usefixtures("backend")
def test_threads_do_not_disturb_each_other():
    moduli = [mpz(2**521 - 1 - 2 * i) for i in range(16)]
    bases = [mpz(3), mpz(5), mpz(7)]
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda modulus: modexp.powers(bases, mpz(2**400 + 7), modulus), moduli)
        assert list(results) == [[pow(base, 2**400 + 7, modulus) for base in bases] for modulus in moduli]


def test_what_openssl_holds_of_a_key_is_wiped_and_freed():
    library, called = modexp.libcrypto(), []
    if library is None:
        pytest.skip("no libcrypto on this system")

    class Watched:
        def __getattr__(self, name):
            called.append(name)
            return getattr(library, name)

    assert modexp._openssl_powers(Watched(), [mpz(3), mpz(7)], mpz(5), mpz(15)) == [3, 7]
    freed = [name for name in called if name.endswith("_free")]
    assert freed == ["BN_clear_free"] * 3 + ["BN_MONT_CTX_free", "BN_CTX_free"]  # number, exponent and modulus


@pytest.mark.skipif(sys.platform != "linux", reason="only there is OpenSSL's library looked for")
def test_the_constant_time_library_is_used_where_pythons_own_ssl_has_it():
    ssl = pytest.importorskip("_ssl")
    with open("/proc/self/maps") as maps:
        text = maps.read()
    if not any(name in text for name in modexp.LIBRARIES):
        pytest.skip(f"{ssl.__name__} is linked statically")
    assert modexp.libcrypto() is not None
