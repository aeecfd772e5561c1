"""`fedlearn bench crypto`: values a second of every way to add vectors in secret, measured here and now."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlearn.autograd.memory import keep_freed
from fedlearn.crypto import EncryptedVector, FixedPoint, PrivateKey, PublicKey, generate_keypair
from fedlearn.crypto.packing import LanePacking
from fedlearn.crypto.parallel import CryptoWorkers, decrypt
from scenarios.bench.claims import result_of, table_of
from scenarios.bench.crypto_rounds import masks_round, threshold_round
from scenarios.bench.crypto_schemes import CODEC, Scheme, keyless_schemes, schemes
from scenarios.bench.crypto_tables import SHARES, table_rates

BUDGET = 2.0  # seconds for each figure
SIZE = 100_000
KEY_BITS = (2048, 3072)
LIBRARIES = ("gmpy2", "phe", "numpy", "cryptography", "tenseal", "lightphe", "fate_utils")


@dataclass(frozen=True)
class Row:
    """Rates are values a second of one core's time, the best of several runs; the error is that of a mean of two."""

    scheme: str
    key_bits: int | None
    values: int
    encrypt: float
    add: float
    decrypt: float
    bytes_per_value: float
    max_error: float


def run(json: bool) -> dict[str, Any]:
    """Measure everything; print a table, or with `json` one JSON object as the last line. Takes some minutes."""
    keep_freed()  # as in every process that trains, and then encrypts
    values = np.random.default_rng(0).uniform(-1, 1, (2, SIZE)).astype(np.float32).astype(np.float64)
    rows = [measure(scheme, values) for bits in KEY_BITS for scheme in schemes(bits)]
    rows += [measure(scheme, values) for scheme in keyless_schemes()]
    result = result_of("crypto", LIBRARIES, rows, _claims(rows, values[0]))
    print(jsonlib.dumps(result) if json else _table(result))
    return result


def measure(scheme: Scheme, values: np.ndarray) -> Row:
    """Encrypt two vectors, add and decrypt them, and compare with the exact mean."""
    first, second = values[:, : scheme.size]
    encrypt, encrypted = best_of(lambda: scheme.encrypt(first), lambda: scheme.prepare(first))
    other = scheme.encrypt(second)
    add, total = best_of(lambda: scheme.add(encrypted, other))
    decrypt, opened = best_of(lambda: scheme.decrypt(total))
    error = float(np.abs(opened / 2 - (first + second) / 2).max())
    size = scheme.size
    rates = {"encrypt": size / encrypt, "add": size / add, "decrypt": size / decrypt}
    return Row(
        scheme.name, scheme.key_bits, size, **rates, bytes_per_value=scheme.nbytes(encrypted) / size, max_error=error
    )


def best_of(work: Callable[[], Any], before: Callable[[], None] = lambda: None) -> tuple[float, Any]:
    """The least seconds that `work` took, run after `before` for `BUDGET` seconds in all, and its last result.

    Seconds of processor time: what one core does, whoever else uses the machine.
    """
    least, result = float("inf"), None
    end = time.perf_counter() + BUDGET
    while result is None or time.perf_counter() < end:
        before()
        start = time.process_time()
        result = work()
        least = min(least, time.process_time() - start)
    return least, result


def _claims(rows: list[Row], values: np.ndarray) -> dict[str, tuple[float, str]]:
    found: dict[str, tuple[float, str]] = {}
    # by the name up to its first comma, the first row of each: the default among the DJN rows
    by_name = {(row.scheme.split(",")[0], row.key_bits): row for row in reversed(rows)}
    for bits in KEY_BITS:
        djn, phe, fate = (by_name.get((name, bits)) for name in ("DJN", "phe", "fate_utils"))
        assert djn is not None
        found[f"encrypt_{bits}"] = djn.encrypt, "values/s"
        found[f"encrypt_online_{bits}"] = by_name["stock", bits].encrypt, "values/s"
        found[f"add_{bits}"] = djn.add, "values/s"
        found[f"decrypt_{bits}"] = djn.decrypt, "values/s"
        for other, row in (("phe", phe), ("fate_packed", fate)):
            if row is not None:
                found[f"encrypt_{bits}_over_{other}"] = djn.encrypt / row.encrypt, "times"
        rates = table_rates(bits, CODEC)
        found |= {f"encrypt_{bits}_{name}": (rate, "values/s") for name, rate in rates.items()}
        for name, other in SHARES.items():
            found[f"encrypt_{bits}_{name}_of_{other}"] = rates[name] / rates[other], "times"
    found |= _single_claims(values)
    for before, bits, size in (("threshold_3_of_5", 2048, 10_000), ("threshold_3_of_5_3072", 3072, 16_385)):
        for name, number in threshold_round(bits, 3, 5, size=size, clients=3).items():
            found[f"{before}_{name}"] = number, _unit(name)
    for name, number in masks_round(100, 2_410, vanish=0.2).items():
        found[f"masks_100_clients_{name}"] = number, _unit(name)
    return found


def _unit(name: str) -> str:
    """The unit that the name of a step's figure says."""
    return "ms" if "_ms_" in name else "s" if name.endswith("_s") else ""


def _single_claims(values: np.ndarray) -> dict[str, tuple[float, str]]:
    """Figures that the table does not show, at 2048 bits."""
    public, private = generate_keypair(2048)
    packing = LanePacking(CODEC.lane_bits, public.modulus)
    encoded = CODEC.encode(values)
    vector = public.encrypt(encoded, CODEC)
    packed, _ = best_of(lambda: packing.unpack(packing.pack(encoded), SIZE))
    narrow = FixedPoint(bits=16, bound=1.0, addends=16)
    narrow_vector = EncryptedVector.encrypt(public, narrow.encode(values[:10_200]), narrow)
    return {
        "pack_and_unpack_2048": (SIZE / packed, "values/s"),
        "bytes_per_value_24_bits_100_addends": (vector.nbytes / SIZE, "bytes"),
        "bytes_per_value_16_bits_16_addends": (narrow_vector.nbytes / 10_200, "bytes"),
    } | _two_core_claims(private, encoded, vector)


def _two_core_claims(private: PrivateKey, encoded: np.ndarray, vector: EncryptedVector) -> dict[str, tuple[float, str]]:
    """Two worker processes encrypt and add, two threads decrypt, each beside one; by the clock on the wall."""
    public, messages = private.public, [vector.to_bytes()] * 100
    with CryptoWorkers(2) as workers:
        pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "encrypt": (lambda: public.encrypt(encoded, CODEC), lambda: workers.encrypt(public, encoded, CODEC)),
            "sum": (lambda: _sum(public, messages), lambda: workers.sum(messages, public)),
            "decrypt": (lambda: private.decrypt(vector), lambda: decrypt(private, vector, threads=2)),
        }
        found = {}
        for name, (on_one, on_two) in pairs.items():
            one, two = in_turns(on_one, on_two)
            values = SIZE * (len(messages) if name == "sum" else 1)
            found[f"{name}_2048_two_cores"] = values / two, "values/s"
            found[f"{name}_two_cores_over_one"] = one / two, "times"
    return found


def in_turns(*works: Callable[[], Any]) -> list[float]:
    """The least seconds, by the clock on the wall, that each took; in turns, so that all meet the same machine."""
    least = [float("inf")] * len(works)
    end = time.perf_counter() + len(works) * BUDGET
    while time.perf_counter() < end or max(least) == float("inf"):
        for place, work in enumerate(works):
            start = time.perf_counter()
            work()
            least[place] = min(least[place], time.perf_counter() - start)
    return least


def _sum(public: PublicKey, messages: list[bytes]) -> EncryptedVector:
    return EncryptedVector.sum(EncryptedVector.from_bytes(message, public) for message in messages)


def _plot(rows: list[dict[str, Any]]) -> list[str]:
    """Encrypted values a second as bars, on a logarithmic scale from 1."""
    width = max(len(row["scheme"]) for row in rows)
    bars = []
    for row in rows:
        length = round(8 * np.log10(max(row["encrypt"], 1)))
        bars.append(f"{row['scheme']:<{width}} {row['key_bits'] or '-':>5} {'#' * length} {row['encrypt']:,.0f}")
    return bars


def _table(result: dict[str, Any]) -> str:
    lines = [
        "| scheme | key | encrypt/s | add/s | decrypt/s | bytes/value | max error |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        rates = " | ".join(f"{row[name]:,.0f}" for name in ("encrypt", "add", "decrypt"))
        key = row["key_bits"] or "-"
        lines.append(f"| {row['scheme']} | {key} | {rates} | {row['bytes_per_value']:.2f} | {row['max_error']:.1e} |")
    lines += ["", *table_of(result["claims"])]
    lines += ["", "Encrypted values a second, ten times more every 8 characters:", "", *_plot(result["rows"])]
    return "\n".join(lines)
