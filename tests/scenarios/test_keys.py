"""Keys that are kept: made once, used by many runs, shown, lost, locked, wrong."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aggregator import CsvTracker
from fedlearn.crypto import sealed
from fedlearn.crypto.keyfiles import is_encrypted
from fedlearn.errors import CryptoKeyError, DataError
from fedlearn.protocol import OpenerKey, PartyView, RunPlan
from fedlearn.secure import Paillier, Threshold
from fedlearn.secure.kept import KeptKeys
from fedlearn.strategies import STRATEGIES
from tests.scenarios.command import fedlearn, last_json, last_of_each
from tests.scenarios.terminal import Terminal

RUN = ["run", "spam", "--vocabulary", "hashed:32", "--rounds", "1", "--quiet", "--json", "--insecure-test-key"]
PASSPHRASE = "correct horse"


def generate(where: Path, **kinds: list[str]) -> Path:
    (where / "pass").write_text(f"{PASSPHRASE}\n")
    (where / "pass").chmod(0o600)
    for name, options in kinds.items():
        made = ["keys", "generate", "--bits", "256", "--insecure-test-key", "--out", str(where / name)]
        assert fedlearn(*made, *(str(where / "pass") if word == "pass" else word for word in options)) == 0
    return where


SHARE, LOCK = ["--threshold", "2/3"], ["--passphrase-file", "pass"]
LOCKED = {"locked": LOCK, "shut": [*SHARE, *LOCK]}  # a pair and shares under a passphrase


@pytest.fixture
def light(monkeypatch):
    """A thousandth of the work to try a passphrase: files that this process alone can read."""
    monkeypatch.setitem(sealed._SCRYPT, "n", 1 << 7)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Folders pair, shared (2 of 3) and other keys; locked and shut, made with little work: see `light`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sealed._SCRYPT, "n", 1 << 7)
        return generate(tmp_path_factory.mktemp("keys"), pair=[], shared=SHARE, pair2=[], shared2=SHARE, **LOCKED)


@pytest.fixture(scope="module")
def made_in_full(tmp_path_factory) -> Path:
    return generate(tmp_path_factory.mktemp("full"), **LOCKED)


@pytest.fixture
def full(made_in_full, keys):
    """The folders locked and shut as users have them, in the place of the others: openers try a passphrase on them."""
    for name in LOCKED:
        shutil.rmtree(keys / name)
    shutil.copytree(made_in_full, keys, dirs_exist_ok=True)


@pytest.fixture(autouse=True)
def keys(made, tmp_path, monkeypatch) -> Path:
    """A copy of them, in the current folder."""
    monkeypatch.delenv("FEDLEARN_PASSPHRASE", raising=False)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder: str, *options: str, out: str = "run") -> int:
    protection = "threshold" if folder.startswith("sh") else "paillier"
    return fedlearn(*last_of_each(*RUN, "--protection", protection, "--keys", folder, "--out", out, *options))


@pytest.mark.parametrize("folder", ["pair", "shared"])
def test_runs_share_a_key_and_give_the_model_of_an_unprotected_run(folder, capsys):
    found = []
    for out in ("one", "two"):
        assert run(folder, "--record", out=out) == 0
        sha256 = last_json(capsys)["model_sha256"]
        plan = next(PartyView.load(Path(out)).bodies(RunPlan))[1]
        assert "keys" not in plan.protection["arguments"]
        keys = {body.payload[-64:] for _, body in PartyView.load(Path(out)).bodies(OpenerKey)}
        found.append((sha256, keys))
    assert found[0] == found[1]
    assert fedlearn(*[word for word in RUN if "key" not in word], "--protection", "none", "--out", "plain") == 0
    assert last_json(capsys)["model_sha256"] == found[0][0]
    assert {p.name for p in Path(folder).iterdir()} >= {"private.json"} or (Path(folder) / "trustee-1.share").exists()


@pytest.mark.parametrize(
    ("first", "second"), [("locked", "shut"), pytest.param("shut", "locked", marks=pytest.mark.slow)]
)
def test_a_passphrase_comes_from_a_file_or_the_environment(first, second, full, capsys, monkeypatch):
    assert run(first, *LOCK, out="one") == 0
    monkeypatch.setenv("FEDLEARN_PASSPHRASE", PASSPHRASE)
    assert run(second, out="two") == 0
    monkeypatch.setenv("FEDLEARN_PASSPHRASE", "another horse")
    capsys.readouterr()
    assert run(first, out="three") == 2
    assert "wrong passphrase" in capsys.readouterr().err
    assert not Path("three").exists()


def test_a_run_goes_on_with_its_keys(capsys):
    assert run("pair") == 0
    capsys.readouterr()
    assert fedlearn("run", "--resume", "run", "--rounds", "2", "--quiet", "--json") == 0
    assert last_json(capsys)["rounds"] == 2
    shutil.rmtree("pair")
    assert fedlearn("run", "--resume", "run", "--rounds", "3", "--quiet") == 2
    assert "pair is no folder" in capsys.readouterr().err


def test_a_share_may_be_lost_while_enough_are_left(capsys):
    Path("shared/trustee-2.share").unlink()
    assert run("shared") == 0
    plain = last_json(capsys)["model_sha256"]
    assert "trustee-2.share is lost" in Path("run/run.log").read_text()
    assert run("shared2", out="whole") == 0
    assert last_json(capsys)["model_sha256"] == plain
    Path("shared/trustee-3.share").unlink()
    assert run("shared", out="third") == 2
    assert "shared holds 1 of 3 shares, 2 are needed to open a sum" in capsys.readouterr().err


def swap(one: str, other: str) -> Callable[[], object]:
    return lambda: Path(one).write_bytes(Path(other).read_bytes())


def cut(name: str) -> Callable[[], object]:
    return lambda: Path(name).write_bytes(Path(name).read_bytes()[:-9])


@pytest.mark.parametrize(
    ("folder", "damage", "options", "says"),
    [
        ("nowhere", None, [], "nowhere is no folder: make keys with fedlearn keys generate"),
        (".", None, [], ". holds no keys"),
        ("pair", lambda: Path("pair/private.json").unlink(), [], "pair/private.json is lost"),
        ("pair", lambda: Path("pair/public.json").unlink(), [], "pair/public.json is lost"),
        ("pair", lambda: Path("pair/private.json").chmod(0o644), [], "chmod 600"),
        ("pair", swap("pair/public.json", "pair2/public.json"), [], "bring the right file back"),
        ("pair", swap("pair/private.json", "pair2/private.json"), [], "bring the right file back"),
        ("pair", cut("pair/private.json"), [], "is not JSON: damaged"),
        ("pair", lambda: Path("pair/private.json").write_bytes(b"\x80\x04."), [], "is not JSON: damaged"),
        ("pair", None, ["--protection", "threshold"], "pair holds keys for paillier: take --protection paillier"),
        ("pair", None, ["--protection", "none"], "--keys pair has no effect with --protection none"),
        ("pair", None, ["--protection", "masks"], "--keys pair has no effect with --protection masks"),
        ("pair", None, ["--key-bits", "2048"], "--key-bits is 2048, the key in pair has 256"),
        ("shared", None, ["--protection", "paillier"], "shared holds keys for threshold: take --protection threshold"),
        ("shared", None, ["--protection", "threshold:3/4"], "threshold 3/4: the key in shared is 2/3, leave T/N out"),
        ("shared", None, ["--key-bits", "2048"], "the key in shared has 256"),
        ("shared", cut("shared/threshold.key"), [], "does not match its digest"),
        ("shared", cut("shared/trustee-1.share"), [], "shared/trustee-1.share: a key share of"),
        ("shared", swap("shared/trustee-1.share", "shared2/trustee-1.share"), [], "trustee-1.share: a share of key"),
        ("shared", swap("shared/trustee-1.share", "shared/trustee-2.share"), [], "trustee-1.share is of trustee 2"),
        ("shared", lambda: Path("shared/trustee-3.share").chmod(0o640), [], "chmod 600"),
        ("locked", None, ["--passphrase-file", "nowhere"], "cannot read key file nowhere"),
        ("locked", lambda: Path("pass").write_text("\n"), ["--passphrase-file", "pass"], "pass is empty"),
        ("locked", lambda: Path("pass").chmod(0o644), ["--passphrase-file", "pass"], "chmod 600 pass"),
    ],
)
def test_keys_that_cannot_be_used_are_one_line_and_leave_nothing(folder, damage, options, says, capsys):
    if damage:
        damage()
    refuses(folder, options, says, capsys)


def refuses(folder: str, options: list[str], says: str, capsys) -> None:
    assert run(folder, *options) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not Path("run").exists()
    assert not [p for p in multiprocessing.active_children() if p.name.startswith("opener:")]


def test_a_wrong_passphrase_is_one_line_too(full, capsys):
    Path("pass").write_text("wrong")
    refuses("shut", LOCK, "wrong passphrase", capsys)


def test_a_passphrase_without_keys_is_refused(capsys):
    assert fedlearn(*RUN, "--passphrase-file", "pass", "--out", "run") == 2
    assert "has no effect without --keys DIR" in capsys.readouterr().err


def test_keys_are_given_in_python_too():
    assert Paillier(insecure_test_key=True, keys=KeptKeys("pair")).key_bits == 256
    shared = Threshold(insecure_test_key=True, keys=KeptKeys("shared"))
    assert (shared.threshold, shared.trustees) == (2, 3)
    with pytest.raises(CryptoKeyError, match="too small"):
        Paillier(keys=KeptKeys("pair"))


def test_a_folder_of_keys_is_shown_without_any_secret(capsys, made):
    assert fedlearn("keys", "show", "locked") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("paillier: 256-bit key ")
    assert "a test key that protects nothing" in shown
    assert "private.json: encrypted" in shown
    Path("shared/trustee-1.share").unlink()
    Path("shared/trustee-2.share").unlink()
    assert fedlearn("keys", "show", "shared") == 0
    assert "trustee-1.share: lost" in (shown := capsys.readouterr().out)
    assert "1 share is left and 2 are needed" in shown
    assert fedlearn("keys", "show", "nowhere") == 2


@pytest.mark.parametrize(
    ("folder", "damage", "options", "says"),
    [
        ("pair", None, [], "private.json: not encrypted, belongs to the key"),
        ("pair", swap("pair/private.json", "pair2/private.json"), [], "private.json: is of key"),
        ("locked", swap("locked/private.json", "pair2/private.json"), [], "private.json: is of key"),
        ("locked", swap("locked/public.json", "pair/public.json"), [], "private.json: is of key"),
        ("locked", None, [], "private.json: encrypted, not checked"),
        ("locked", None, ["--passphrase-file", "pass"], "private.json: encrypted, belongs to the key"),
        ("pair", lambda: Path("pair/private.json").write_bytes(b"{}"), [], "no Paillier private key"),
        ("shared", None, [], "trustee-1.share: not encrypted, belongs to the key"),
        ("shared", swap("shared/trustee-1.share", "shared/trustee-2.share"), [], "trustee-1.share: is of trustee 2"),
        ("shared", swap("shared/trustee-1.share", "shared2/trustee-1.share"), [], "trustee-1.share: a share of key"),
        ("shared", lambda: Path("shared/trustee-1.share").write_bytes(b"ab"), [], "trustee-1.share: a key share of 2"),
        ("shut", swap("shut/trustee-1.share", "shut/trustee-3.share"), [], "the same bytes as trustee-1.share"),
        ("shut", None, ["--passphrase-file", "pass"], "trustee-3.share: encrypted, belongs to the key"),
        ("shut", swap("pass", "pair/public.json"), ["--passphrase-file", "pass"], "wrong passphrase"),
    ],
)
def test_what_is_no_file_of_the_key_is_told(folder, damage, options, says, light, capsys):
    if damage:
        damage()
    assert fedlearn("keys", "show", folder, *options) == 0
    shown = capsys.readouterr().out
    assert says in shown
    damaged = damage and (folder in ("pair", "locked") or says == "wrong passphrase")
    assert ("no sum can be opened" in shown) == bool(damaged)


def test_shares_that_are_others_do_not_count(capsys):
    Path("shared/trustee-2.share").write_bytes(Path("shared/trustee-1.share").read_bytes())
    Path("shared/trustee-3.share").unlink()
    assert fedlearn("keys", "show", "shared") == 0
    assert "1 share is left and 2 are needed: no sum can be opened" in capsys.readouterr().out


def test_generating_refuses_what_would_not_protect_and_leaves_nothing_half_made(capsys, monkeypatch):
    generate = ["keys", "generate", "--bits", "256", "--insecure-test-key", "--out", "new"]
    for wrong in (["--threshold", "1/3"], ["--threshold", "2/5"], ["--threshold", "x"], ["--threshold", "4/3"]):
        assert fedlearn(*generate, *wrong) == 2
    Path("short").write_text("short")
    Path("short").chmod(0o600)
    assert fedlearn(*generate, "--passphrase-file", "short") == 2
    assert "a passphrase of 5 characters" in capsys.readouterr().err
    assert not list(Path("new").glob("*"))
    assert fedlearn(*generate[:-1], "shared", "--threshold", "2/3") == 2
    assert "is not overwritten" in capsys.readouterr().err
    assert not is_encrypted("shared/trustee-1.share")


def test_a_passphrase_is_asked_for_by_each_trustee_in_its_turn(full):
    command = Terminal(*RUN, "--protection", "threshold", "--keys", "shut", "--out", "run")
    for trustee in (1, 2, 3):
        command.wait_for(f"Passphrase of shut/trustee-{trustee}.share: ".encode())
        time.sleep(0.2)  # until the terminal no longer shows what is typed
        assert command.said.count(b"Passphrase of ") == trustee  # one after another: they share the terminal
        command.type(f"{PASSPHRASE}\n")
    assert command.status() == 0, command.said
    assert PASSPHRASE.encode() not in command.said
    assert json.loads(Path("run/run.json").read_text())["outcome"]["state"] == "done"


def test_without_a_terminal_nothing_is_asked_and_nothing_is_read_from_what_is_piped_in():
    command = [sys.executable, "-m", "scenarios.command.main", *RUN, "--protection", "paillier", "--keys", "locked"]
    done = subprocess.run(
        [*command, "--out", "run"], input=f"{PASSPHRASE}\n", text=True, capture_output=True, start_new_session=True
    )
    assert done.returncode == 2
    assert "locked/private.json is encrypted and there is no terminal to ask at" in done.stderr
    assert not Path("run").exists()


def test_ctrl_c_at_the_prompt_leaves_the_terminal_as_it_was():
    command = Terminal(*RUN, "--protection", "paillier", "--keys", "locked", "--out", "run")
    command.wait_for(b"Passphrase of locked/private.json: ")
    end = time.monotonic() + 20
    while command.echoes() and time.monotonic() < end:
        time.sleep(0.05)
    command.type("\x03")
    end = time.monotonic() + 20
    while not command.echoes() and time.monotonic() < end:
        time.sleep(0.05)
    assert command.echoes()
    assert command.status() == 130, command.said
    assert b"Traceback" not in command.said


def test_home_is_home_for_every_place_that_is_given(tmp_path, monkeypatch, light, capsys):
    """Shells leave ~ alone in `--out=~/keys`, and Python does everywhere."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    small = ("--bits", "256", "--insecure-test-key", "--encrypt")
    (tmp_path / "secret").write_text("a long passphrase")
    (tmp_path / "secret").chmod(0o600)
    assert fedlearn("keys", "generate", "--out=~/keys", *small, "--passphrase-file=~/secret") == 0
    assert fedlearn("keys", "show", "~/keys", "--passphrase-file=~/secret") == 0
    assert CsvTracker("~/rounds.csv").path == tmp_path / "rounds.csv"
    with pytest.raises(DataError, match=f"{tmp_path}/run holds no"):
        PartyView.load("~/run")
    (tmp_path / "mine.py").write_text("from fedlearn.strategies import FedAvg\n\n\nclass Mine(FedAvg): ...\n")
    assert type(STRATEGIES.parse("~/mine.py:Mine")).__name__ == "Mine"
    assert fedlearn("bench", "crypto", "--against=~/secret") == 2
    assert "is no result of a benchmark" in capsys.readouterr().err
    assert not (tmp_path / "~").exists()
