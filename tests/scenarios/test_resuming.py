"""`--resume` goes on with what a run depends on, or not at all."""

from __future__ import annotations

import pytest

from fedlearn.disk import alone_in
from tests.scenarios.command import fedlearn

SPAM = ["run", "spam", "--rounds", "1", "--quiet"]
MASKS = ["--protection", "masks", "--clients", "3", "--vocabulary", "hashed:32", "--pki", "keys"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_list_of_words_in_another_order_is_not_gone_on_with(tmp_path, capsys):
    words = ["prize", "free", "meeting", "tomorrow"]
    (tmp_path / "words.txt").write_text("\n".join(words))
    assert fedlearn(*SPAM, "--protection", "none", "--vocabulary", "explicit:words.txt", "--out", "run") == 0
    (tmp_path / "words.txt").write_text("\n".join(reversed(words)))
    capsys.readouterr()
    assert fedlearn("run", "--resume", "run", "--rounds", "2", "--quiet") == 2
    assert "cannot resume with vocabulary_sha256" in capsys.readouterr().err


def test_keys_of_other_clients_are_not_gone_on_with(tmp_path, capsys):
    for folder in ("keys", "others"):
        assert fedlearn("keys", "pki", "--clients", "3", "--out", folder) == 0
    assert fedlearn(*SPAM, *MASKS, "--out", "run") == 0
    (tmp_path / "keys" / "client-1.public").write_bytes((tmp_path / "others" / "client-1.public").read_bytes())
    capsys.readouterr()
    assert fedlearn("run", "--resume", "run", "--rounds", "2", "--quiet") == 2
    assert "cannot resume with pki_sha256" in capsys.readouterr().err


def test_a_folder_in_which_another_process_writes_is_refused(tmp_path, capsys):
    assert fedlearn(*SPAM, "--protection", "none", "--vocabulary", "hashed:32", "--out", "run") == 0
    capsys.readouterr()
    with alone_in(tmp_path / "run"):
        assert fedlearn("run", "--resume", "run", "--rounds", "2", "--quiet") == 2
    assert "another process writes in" in capsys.readouterr().err
    assert fedlearn("run", "--resume", "run", "--rounds", "2", "--quiet") == 0


def test_a_run_of_another_scenario_is_named(capsys):
    assert fedlearn("run", "digits", "--rounds", "1", "--clients", "4", "--quiet", "--out", "run") == 0
    assert fedlearn("run", "spam", "--resume", "run") == 2
    assert "run is a run of digits, not spam: leave the scenario out" in capsys.readouterr().err
