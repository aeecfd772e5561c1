"""The command as users meet it: one line and status 2 for bad input, one JSON line for programs."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

import pytest

from tests.scenarios.command import fedlearn, last_json, last_of_each

KEY = ["--key-bits", "512", "--insecure-test-key"]
QUICK = ["--rounds", "2", "--vocabulary", "hashed:256", "--quiet"]
FAST = [*KEY, *QUICK]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_spam_in_one_json_line(tmp_path, capsys):
    assert fedlearn("run", "spam", *FAST, "--json", "--out", "run") == 0
    result = last_json(capsys)
    assert set(result) >= {
        "scenario", "run_dir", "seed", "rounds", "metrics", "model_sha256", "seconds",
        "bytes_up", "bytes_down", "claims", "recorded_bytes",
    }  # fmt: skip
    assert (result["scenario"], result["run_dir"], result["seed"], result["rounds"]) == ("spam", "run", 0, 2)
    assert set(result["metrics"]) == {"loss", "accuracy", "f1"}
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["data_set"]["synthetic"] is True
    assert run["outcome"]["model_sha256"] == result["model_sha256"]
    assert run["outcome"]["recorded_bytes"] == result["recorded_bytes"] > 0


def test_protection_and_pool_change_no_bit_of_the_model(capsys):
    hashes = set()
    for protection in (["none"], ["paillier", *KEY]):
        for pool in (["--pool", "inline"], ["--pool", "processes", "--workers", "2"]):
            assert fedlearn("run", "spam", *QUICK, "--json", "--protection", *protection, *pool) == 0
            hashes.add(last_json(capsys)["model_sha256"])
    assert len(hashes) == 1


def test_a_table_row_a_round_and_the_synthetic_sample_announced(capsys):
    assert fedlearn("run", "spam", *FAST[:-1], "--out", "run") == 0
    shown = capsys.readouterr()
    assert "synthetic" in shown.err
    assert "accuracy" in shown.err
    assert "bob, alice, sue" in shown.out


def test_python_m_is_the_same_command(tmp_path):
    command = [sys.executable, "-m", "scenarios.spam", *FAST, "--json", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["scenario"] == "spam"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nosuch"], "unknown scenario 'nosuch'"),
        (["spam", "--data", "nofile.tsv"], "nofile.tsv"),
        (["spam", "--partition", "nosuch"], "unknown partition 'nosuch'"),
        (["spam", "--partition", "dirichlet:-1"], "alpha -1"),
        (["spam", "--protection", "rot13"], "unknown protection 'rot13'"),
        (["spam", "--protection", "paillier", "--key-bits", "1024"], "at least 2048"),
        (["spam", "--codec", "bits=24,bound=0.00001"], "outside the bound"),
        (["spam", "--codec", "bits=24,addends=2"], "cohort of 3 clients does not fit a codec of 2"),
        (["spam", "--codec", "colour=red"], "codec has no 'colour'"),
        (["spam", "--codec", "bits=many"], "bits is 'many'"),
        (["spam", "--clients", "0"], "--clients is 0"),
        (["spam", "--clients", "2", "--protection", "paillier"], "cohort of 2"),
        (["spam", "--protection", "threshold:1/5"], "threshold 1 of 5"),
        (["spam", "--protection", "threshold:6/5"], "threshold 6 of 5"),
        (["spam", "--protection", "threshold:three"], "threshold:4/5"),
        (["spam", "--cohort", "9"], "cohort of 9"),
        (["spam", "--rounds", "0"], "--rounds is 0, a number from 1 to 1000000 is needed"),
        (["spam", "--lr", "-1"], "--lr is -1.0, a number above 0"),
        (["spam", "--lr", "1e30"], "outside the bound"),
        (["spam", "--seed", "-1"], "--seed is -1"),
        (["spam", "--pool", "cloud"], "unknown pool"),
        (["spam", "--pool", "processes", "--workers", "0"], "--workers is 0"),
        (["spam", "--strategy", "nosuch"], "unknown strategy"),
        (["spam", "--vocabulary", "hashed:0"], "0 hash buckets"),
        (["spam", "--model", "nosuch"], "unknown model"),
        (["spam", "--dim", "0"], "--dim is 0"),
        (["spam", "--resume"], "give --resume DIR"),
        (["spam", "--resume", "--out", "nothing"], "no run to resume"),
    ],
)
def test_bad_input_is_one_line_status_two_and_no_folder(arguments, says, tmp_path, capsys):
    fast = [] if "--key-bits" in arguments else ["--key-bits", "512", "--insecure-test-key"]
    assert fedlearn("run", *arguments, *fast, "--quiet") == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("fedlearn: ")]
    assert len(lines) == 1
    assert says in lines[0]
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "runs"])
    left = [path.name for path in tmp_path.glob("runs/**/*") if path.is_file()]
    assert left == (["clients.log"] if "refused its task" in lines[0] else [])


def test_an_unknown_option_is_status_two():
    assert fedlearn("run", "spam", "--colour", "red") == 2


def test_your_own_file(tmp_path, capsys):
    rows = [f"{user}\t{'spam' if i % 2 else 'ham'}\tword{i % 7} word{i % 5} {'buy' if i % 2 else 'hello'} {i}"
            for i, user in enumerate(["ann", "ben", "cat", "dan"] * 20)]  # fmt: skip
    (tmp_path / "mine.tsv").write_text("user\tlabel\ttext\n" + "\n".join(rows) + "\n")
    assert fedlearn("run", "spam", "--data", "mine.tsv", *FAST, "--json", "--out", "run") == 0
    assert last_json(capsys)["metrics"]["accuracy"] > 0.9
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data_set"]["synthetic"] is False
    assert len(json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])["lost"]) == 0


def test_resume_goes_on_to_the_same_model(capsys):
    whole = last_of_each("run", "spam", *FAST, "--json", "--rounds", "3")
    assert fedlearn(*whole) == 0
    expected = last_json(capsys)["model_sha256"]
    assert fedlearn(*whole, "--out", "run") == 0
    assert last_json(capsys)["model_sha256"] == expected
    assert fedlearn(*whole, "--out", "run", "--resume") == 0
    assert last_json(capsys)["model_sha256"] == expected


def test_list_names_everything(capsys):
    assert fedlearn("list") == 0
    shown = capsys.readouterr().out
    for name in ("spam", "leak_embedding", "enron", "natural", "paillier", "fedavg", "processes", "changed_rows"):
        assert name in shown


def test_data_commands(capsys, tmp_path, monkeypatch):
    assert fedlearn("data", "list") == 0
    assert "sms_spam" in capsys.readouterr().out
    assert fedlearn("data", "show", "sample") == 0
    assert "bob" in capsys.readouterr().out
    monkeypatch.delenv("FEDLEARN_DATA", raising=False)
    assert fedlearn("data", "fetch", "sms_spam") == 2
    assert "FEDLEARN_DATA" in capsys.readouterr().err
    assert fedlearn("data", "fetch", "enron", "--folder", str(tmp_path)) == 2
    assert fedlearn("run", "spam", "--data", "sms_spam") == 2


def test_keys_that_phe_reads_and_others_cannot(tmp_path, capsys, monkeypatch):
    generate = ["keys", "generate", "--bits", "512", "--insecure-test-key", "--out"]
    assert fedlearn(*generate, "keys") == 0
    assert capsys.readouterr().out.endswith("in keys; not encrypted: --encrypt does that\n")
    private = tmp_path / "keys" / "private.json"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert set(json.loads(private.read_text())) >= {"p", "q", "pub", "kty"}
    assert fedlearn(*generate, "keys") == 2  # never overwritten
    assert "not overwritten" in capsys.readouterr().err
    monkeypatch.setenv("FEDLEARN_PASSPHRASE", "correct horse")
    for sealed in (["sealed", "--encrypt"], ["shut"]):  # a passphrase that is set is meant
        assert fedlearn(*generate, *sealed) == 0
        assert capsys.readouterr().out.endswith("; encrypted\n")
        assert "p" not in json.loads((tmp_path / sealed[0] / "private.json").read_text())
    assert fedlearn("keys", "generate", "--bits", "1024", "--out", "small") == 2
    assert fedlearn("keys", "generate", "--bits", "16385", "--out", "small") == 2
    assert not (tmp_path / "small").exists()
    (tmp_path / "file").touch()
    assert fedlearn(*generate, "file/keys") == 2
    assert "cannot make folder file/keys" in capsys.readouterr().err


def test_attack_on_a_recorded_run(capsys, tmp_path):
    (tmp_path / "words.txt").write_text("\n".join(["free", "prize", "meeting", "call", "you", "the", "a", "to"]))
    plain = ["run", "spam", "--vocabulary", "explicit:words.txt", "--rounds", "1", "--protection", "none", "--quiet"]
    assert fedlearn(*plain, "--out", "run", "--record", "--json") == 0
    capsys.readouterr()
    assert fedlearn("attack", "changed_rows", "--run", "run", "--json") == 0
    findings = last_json(capsys)
    assert [finding["about"] for finding in findings] == ["client:0", "client:1", "client:2"]
    assert "the" in findings[0]["words"]
    assert fedlearn(*plain, "--out", "unrecorded") == 0
    assert fedlearn("attack", "changed_rows", "--run", "unrecorded") == 2
    assert "--record" in capsys.readouterr().err
