"""Malicious clients from the command line, and the story of the backdoor."""

from __future__ import annotations

import json

import pytest

from scenarios.command.options import Options
from scenarios.poison_backdoor import run
from tests.scenarios.command import fedlearn, last_json, last_of_each, refusal

SPAM = ["run", "spam", "--protection", "none", "--clients", "10", "--rounds", "2", "--vocabulary", "hashed:512"]
QUIET = ["--quiet", "--json"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_two_people_implant_a_word_and_encryption_hides_them(tmp_path):
    outcome = run(Options(rounds=2, key_bits=512, insecure_test_key=True, out=tmp_path / "run"))
    claims = {claim.name: claim.value for claim in outcome.claims}
    assert claims["backdoor_honest"] == 0
    assert claims["backdoor_data_only"] < 0.3
    assert claims["backdoor_replaced"] > 0.9
    for kind in ("data_only", "replaced"):
        assert abs(claims[f"accuracy_{kind}"] - claims["accuracy_honest"]) < 0.02
    assert claims["named_by_size_none"] == 1
    assert (claims["readable_updates_none"], claims["readable_updates_paillier"]) == (40, 0)
    assert (claims["payload_lengths_paillier"], claims["same_model_paillier"]) == (1, 1)
    assert (claims["updates_refused"], claims["backdoor_refused"]) == (4, 0)
    assert claims["backdoor_clipped_at_1"] < claims["backdoor_clipped_at_4"] < 0.3
    for kind in ("single", "groups"):
        assert claims[f"backdoor_rule_{kind}"] < 0.1
        assert abs(claims[f"accuracy_rule_{kind}"] - claims["accuracy_honest"]) < 0.05
    assert claims["accuracy_sign_flip_4"] < claims["accuracy_label_flip"] <= claims["accuracy_honest"] + 0.01
    assert claims["reach_as_run"] == pytest.approx(4 * 4096 / 2031, rel=1e-6)  # the training part of the sample
    assert outcome.story.splitlines()[-1].endswith(".")
    for kind in ("png", "svg"):
        assert (tmp_path / "run" / f"poison_backdoor.{kind}").stat().st_size > 1000
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    assert kept["outcome"]["claims"] == claims
    assert json.loads((tmp_path / "run" / "paillier" / "run.json").read_text())["configuration"]["malicious"]


@pytest.mark.parametrize("option", [["--malicious", "sign-flip:2"], ["--protection", "none"], ["--clients", "5"]])
def test_the_story_brings_its_own_clients(option, capsys):
    assert fedlearn("run", "poison_backdoor", *option, "--quiet") == 2
    assert "has no effect in this scenario" in capsys.readouterr().err


def test_malice_is_part_of_the_configuration(capsys, tmp_path):
    assert fedlearn(*SPAM, *QUIET, "--out", "honest") == 0
    honest = last_json(capsys)
    spoilt = [*SPAM, *QUIET, "--malicious", "sign-flip:0.3,scale=2", "--out", "run"]
    assert fedlearn(*spoilt) == 0
    before = last_json(capsys)
    assert before["model_sha256"] != honest["model_sha256"]
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    assert kept["configuration"]["malicious"] == "sign-flip:0.3,scale=2"
    assert fedlearn(*SPAM, *QUIET, "--malicious", "sign-flip:0.2", "--out", "run", "--resume") == 2
    assert "cannot resume with --malicious 'sign-flip:0.2'" in capsys.readouterr().err
    shorter = last_of_each(*spoilt, "--rounds", "1")  # a run may go on for longer, not for shorter
    assert fedlearn(*shorter, "--resume") == 2
    capsys.readouterr()
    assert fedlearn(*spoilt, "--resume") == 0
    assert last_json(capsys)["model_sha256"] == before["model_sha256"]


def test_how_it_is_computed_changes_no_bit(capsys):
    pytest.importorskip("sklearn", reason="pip install 'fedlearn[datasets]'")
    small = ["run", "digits", "--clients", "60", "--cohort", "12", "--rounds", "2", *QUIET, "--malicious", "alie:0.4"]
    hashes = set()
    for number, how in enumerate((["--stack", "on"], ["--stack", "off"], ["--pool", "processes"])):
        assert fedlearn(*small, *how, "--out", f"run-{number}") == 0
        hashes.add(last_json(capsys)["model_sha256"])
    assert len(hashes) == 1


@pytest.mark.parametrize("spec", ["backdoor:3,word=blue moon", "label-flip:3", "ipm:3"])
def test_spam_with_malicious_people_is_announced(spec, capsys):
    assert fedlearn(*SPAM, "--malicious", spec, "--out", "run") == 0
    assert f"some clients are malicious: {spec}" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["spam", "--malicious", "nosuch:1"], "unknown behaviour 'nosuch'"),
        (["spam", "--malicious", "sign-flip:4"], "4 of 3 clients"),
        (["digits", "--malicious", "backdoor:0.1"], "hold no messages"),
        (["shakespeare", "--data", "sample_play", "--malicious", "alie:2,z=x"], "z is 'x'"),
    ],
)
def test_a_spec_that_cannot_be_used_leaves_no_folder(arguments, says, capsys, tmp_path):
    assert fedlearn("run", *arguments, "--protection", "none", "--quiet") == 2
    assert says in refusal(capsys)
    assert not list(tmp_path.glob("runs/*"))


def test_behaviours_are_listed(capsys):
    assert fedlearn("list") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("label-flip", "sign-flip", "backdoor", "alie", "ipm", "poison_backdoor"))
