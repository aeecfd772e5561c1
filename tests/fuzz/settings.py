"""Readers of files that a user names beside data: options, lists, keys, and folders of runs to be looked at."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from aggregator import Aggregator, RunFolder
from aggregator.trackers import CsvTracker
from clients import InlinePool
from fedlearn.availability import Availability
from fedlearn.crypto.keyfiles import write_secret
from fedlearn.crypto.threshold import KeyShare, ThresholdKey
from fedlearn.datasets.vocabulary import ExplicitVocabulary
from fedlearn.secure.kept import KeptKeys, given_passphrase, kept_share, share_name
from fedlearn.secure.pki import Pki
from fedlearn.weighted import Weighted
from scenarios.command.config import read_config
from scenarios.command.options import Options
from scenarios.command.texts import read_options
from scenarios.report import runs
from scenarios.report.inspecting import lines
from scenarios.report.page import page
from scenarios.sweep.folder import SweepFolder
from scenarios.sweep.grid import grid
from tests.fuzz.data_readers import CSV_PIECES
from tests.fuzz.loop import Reader
from tests.fuzz.odd import odd_json
from tests.fuzz.readers import JSON, SIGNER, dealt, folder
from tests.toys import toy_clients, toy_model, toy_paillier, toy_strategy

TOML = (
    b"[",
    b"]]",
    b"=",
    b'"""',
    b"'''",
    b"\\u0000",
    b"inf",
    b"1979-05-27",
    b"0x" + b"f" * 5000,
    b"[" * 5000,
    b"a.b=1",
)
CONFIG = b"""scenario = "spam"\nseed = 7\nrounds = 3\nlr = 0.5\nprotection = "paillier"\nkey-bits = 2048\nrecord = true
codec = "bound=0.5,bits=20"\nstrategy = "fedprox:mu=0.1"\nmin_cohort = 3\n"""
SWEEP = b'{"scenario": "spam", "runs": {"other": {"lr": "0.1"}}}'


def written(name: str, data: bytes) -> Path:
    path = folder() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def configured(data: bytes) -> object:
    texts = read_config(written("config.toml", data))
    texts.pop("scenario", None)
    return Options(**read_options(texts))


def word_list(data: bytes) -> object:
    return ExplicitVocabulary.from_spec(str(written("words.txt", data)))


def weights(data: bytes) -> object:
    sampler = Weighted.from_spec(str(written("weights.txt", data)), lambda: [])
    sampler.check(4, 2)
    return sampler.sample(0, 1, 4, 2)


def trace(data: bytes) -> object:
    sampler = Availability.from_spec(str(written("trace.csv", data)), lambda: [])
    sampler.check(4, 2)
    return sampler.sample(0, 1, 4, 2)


def shared_key(data: bytes) -> ThresholdKey:
    return KeptKeys(written("kept/threshold.key", data).parent).shared(insecure_test_key=True)


@cache
def secret_file(passphrase: str | None) -> bytes:
    path = folder() / "secret.new"
    write_secret(path, dealt()[1][0].to_bytes(), passphrase)
    data = path.read_bytes()
    path.unlink()
    return data


def share(passphrase: bytes | None) -> Callable[[bytes], KeyShare]:
    def read(data: bytes) -> KeyShare:
        said = None if passphrase is None else written("passphrase", passphrase)
        return kept_share(written(share_name(1), data), said, dealt()[0])

    return read


def client_key(name: str) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        written("pki/client-0.public", SIGNER.public)
        written("pki/client-0.private", SIGNER.to_bytes())
        written(f"pki/client-0.{name}", data)
        return Pki(folder() / "pki").signing_key(0)

    return read


@cache
def looked_at() -> Path:
    path = folder() / "looked-at"
    kept = RunFolder(path, {"rounds": 2, "seed": 0, "scenario": "spam", "protection": "paillier"}, {"name": "toy"})
    Aggregator(toy_model(), toy_strategy(), toy_paillier(), folder=kept).fit(InlinePool(toy_clients()), 2)
    return path


def of_run(name: str) -> list[bytes]:
    return [(looked_at() / name).read_bytes()]


def odd_run(name: str) -> Callable[[bytes], bytes]:
    return odd_json(partial(of_run, name), lines=name.endswith("l"))


def reported(name: str, read_run: Callable[[runs.Run], object]) -> Callable[[bytes], object]:
    """What `fedlearn inspect` and `report` read of a run."""

    def read(data: bytes) -> object:
        path = folder() / "reported"
        if not path.exists():
            shutil.copytree(looked_at(), path)
        for each in ("run.json", "metrics.jsonl", "transcript.jsonl"):
            (path / each).write_bytes((looked_at() / each).read_bytes())
        (path / name).write_bytes(data)
        return read_run(runs.Run.load(path))

    return read


def a_page(run: runs.Run) -> str:
    return page(runs.configurations([run]))


def swept(name: str) -> Callable[[bytes], object]:
    """What a sweep that goes on reads in its folder: sweep.json, and the run.json of its first run."""

    def read(data: bytes) -> object:
        listed = grid("spam", {}, ["0", "1"])
        first = folder() / "swept" / listed[0].folder
        first.mkdir(parents=True, exist_ok=True)
        (folder() / "swept/sweep.json").write_bytes(SWEEP)
        (first / "run.json").write_bytes((looked_at() / "run.json").read_bytes())
        (folder() / "swept" / name.format(listed[0].folder)).write_bytes(data)
        sweep = SweepFolder(folder() / "swept", "spam", listed)
        return sweep.waiting, sweep.rows()

    return read


def csv_rows(data: bytes) -> object:
    from aggregator.history import RoundRecord

    tracker = CsvTracker(written("rounds.csv", data))
    tracker.begin(3, 2)
    tracker.round(RoundRecord(2))
    return None


SETTINGS = [
    Reader("options in a file", lambda: [CONFIG], configured, None, TOML),
    Reader("word list", lambda: [b"the\nprize\nwin\nwon\n"], word_list, None, (b"\xef\xbb\xbf", b"\0", b"A")),
    Reader(
        "weights of clients", lambda: [b"1\n2.5\n0\n4e3\n"], weights, None, (b"nan", b"-1", b"1e999", b"\xff", b"_")
    ),
    Reader(
        "trace of clients",
        lambda: [
            b"client,from,to\n0,1,9\n1,1,2\n2,1,3\n3,4,9\n",
            b'{"client": 0, "from": 1, "to": 9}\n{"client": 1, "from": 1, "to": 9}\n',
        ],
        trace,
        None,
        (*JSON, *CSV_PIECES),
    ),
    Reader("shared key in a folder", lambda: [dealt()[0].to_bytes()], shared_key),
    Reader("trustee's share in a file", lambda: [secret_file(None)], share(None), None, JSON),
    Reader("trustee's encrypted share", lambda: [secret_file("x")], share(b"x\n"), None, JSON, 0.01),
    Reader("passphrase in a file", lambda: [b"secret\n"], lambda data: given_passphrase(written("passphrase", data))),
    Reader("client's public key in a file", lambda: [SIGNER.public], client_key("public")),
    Reader("client's private key in a file", lambda: [SIGNER.to_bytes()], client_key("private"), None, JSON),
    *(
        Reader(f"{name}, {what}", partial(of_run, name), reported(name, read), odd_run(name), JSON, weight)
        for name in ("run.json", "metrics.jsonl", "transcript.jsonl")
        for what, read, weight in (("inspected", lines, 0.3), ("reported", a_page, 0.02))
    ),
    Reader("sweep.json", lambda: [SWEEP], swept("sweep.json"), odd_json(lambda: [SWEEP], lines=False), JSON),
    Reader("run.json of a sweep", lambda: of_run("run.json"), swept("{}/run.json"), odd_run("run.json"), JSON),
    Reader("rows of a CSV tracker", lambda: [b"round,loss\n1,0.5\n"], csv_rows, None, CSV_PIECES),
]
