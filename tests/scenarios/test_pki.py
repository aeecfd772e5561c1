"""`fedlearn keys pki` makes clients' signing keys, and `fedlearn run --pki` has clients and openers hold to them."""

from __future__ import annotations

import stat

import pytest

from fedlearn.protocol import PartyView, RunPlan
from tests.scenarios.command import fedlearn, last_json

RUN = ["run", "spam", "--vocabulary", "hashed:32", "--rounds", "1", "--quiet", "--json"]
FAST = ["--key-bits", "256", "--insecure-test-key"]


@pytest.mark.parametrize("protection", [("paillier", *FAST), ("masks",)])
def test_the_plan_has_the_agreed_keys(tmp_path, protection, capsys):
    keys = tmp_path / "keys"
    assert fedlearn("keys", "pki", "--clients", "3", "--out", str(keys)) == 0
    assert "signing keys of 3 clients" in capsys.readouterr().out
    assert sorted(path.name for path in keys.iterdir()) == [
        f"client-{i}.{kind}" for i in range(3) for kind in ("private", "public")
    ]
    assert stat.S_IMODE((keys / "client-2.private").stat().st_mode) == 0o600
    hashes = []
    for more in (["--pki", str(keys)], []):
        out = tmp_path / f"run{len(more)}"
        run = [*RUN, "--clients", "3", "--protection", *protection, "--record", "--out", str(out)]
        assert fedlearn(*run, "--evaluate", "clients", *more) == 0
        hashes.append(last_json(capsys)["model_sha256"])
    assert hashes[0] == hashes[1]
    rosters = [body.roster for _, body in PartyView.load(tmp_path / "run2").bodies(RunPlan)]
    agreed = {i: (keys / f"client-{i}.public").read_bytes() for i in range(3)}
    assert [dict(roster) for roster in rosters] == [agreed, agreed]  # of training, and of what clients measure
    assert '"confusion": [[' in (tmp_path / "run2" / "metrics.jsonl").read_text()


def test_a_client_without_a_key_takes_no_part(tmp_path, capsys):
    keys = tmp_path / "keys"
    assert fedlearn("keys", "pki", "--clients", "2", "--out", str(keys)) == 0
    run = [*RUN, "--clients", "3", "--protection", "masks", "--pki", str(keys), "--out", str(tmp_path / "run")]
    assert fedlearn(*run) == 2
    assert "client-2.private" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_is_there_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "client-1.public").write_bytes(b"mine")
    assert fedlearn("keys", "pki", "--clients", "2", "--out", str(tmp_path)) == 2
    assert "client-1.public exists and is not overwritten" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["client-1.public"]
