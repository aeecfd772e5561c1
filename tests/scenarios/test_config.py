"""Options from a file, runs that repeat and go on by themselves, and help that says what a scenario takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from scenarios import SCENARIOS
from scenarios.command.about import flag
from scenarios.command.commands import Command, Group
from scenarios.command.help import run_help, scenario_help, scenario_module
from scenarios.command.main import _app_for
from scenarios.command.options import ABOUT
from tests.scenarios.command import fedlearn, last_json

SPAM = ["run", "spam", "--vocabulary", "hashed:256", "--protection", "none", "--quiet", "--json"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_run_toml_repeats_a_run_and_what_is_typed_counts_more(capsys, tmp_path):
    given = ["--rounds", "2", "--lr", "1e-1", "--seed", "3", "--record", "--codec", "bits=20, overflow=clip"]
    assert fedlearn(*SPAM, *given, "--out", "first") == 0
    first = last_json(capsys)["model_sha256"]
    assert fedlearn("run", "--config", "first/run.toml", "--out", "second", "--quiet", "--json") == 0
    assert last_json(capsys)["model_sha256"] == first
    assert (tmp_path / "second" / "run.toml").read_text() == (tmp_path / "first" / "run.toml").read_text()
    assert (tmp_path / "second" / "payloads.bin").exists()
    assert fedlearn("run", "--config", "first/run.toml", "--seed", "4", "--out", "third", "--quiet", "--json") == 0
    assert last_json(capsys)["model_sha256"] != first


def test_a_run_goes_on_for_longer_by_its_folder_alone(capsys):
    assert fedlearn(*SPAM, "--rounds", "4", "--out", "whole") == 0
    whole = last_json(capsys)["model_sha256"]
    assert fedlearn(*SPAM, "--rounds", "2", "--out", "short") == 0
    assert last_json(capsys)["model_sha256"] != whole
    assert fedlearn("run", "--resume", "short", "--rounds", "4", "--quiet", "--json") == 0
    assert last_json(capsys)["model_sha256"] == whole
    assert fedlearn("run", "--resume", "--out", "short", "--quiet", "--json") == 0
    assert last_json(capsys)["model_sha256"] == whole


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('scenario = "spam"\nroundz = 3', "unknown option roundz (did you mean 'rounds'?)"),
        ('scenario = "spam"\nrounds = [1, 2]', "rounds is [1, 2], one text, number, true or false is needed"),
        ('scenario = "spam"\nrounds = 1.5', "--rounds is '1.5', a whole number is needed"),
        ("rounds = 1", "no scenario"),
        ('scenario = "spam"\nout = "x"', "unknown option out"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(text, says, capsys, tmp_path):
    (tmp_path / "f.toml").write_text(text)
    assert fedlearn("run", "--config", "f.toml", "--quiet") == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("columns", ["40", "80"])
@pytest.mark.parametrize("scenario", SCENARIOS.entries)
def test_help_fits_and_shows_what_the_scenario_takes_and_nothing_else(scenario, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    text = scenario_help(scenario)
    options, _, examples = text.partition("\nExamples\n")
    wide = [line for line in options.splitlines() if len(line) > int(columns)]
    assert all(len(line.split()) == 1 for line in wide)  # one word that is longer than a line
    assert len(examples.splitlines()) >= 2
    taken = scenario_module(scenario).TAKES.defaults
    shown = {line.split()[0] for line in options.splitlines() if line.startswith("  --")}
    assert shown == {flag(name) for name in taken} | {"--config", "--json", "--quiet"}
    for name, default in taken.items():
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert f"{flag(name)} {ABOUT[name].form} [{default}]" in " ".join(options.split())


def commands(group: Any, name: str = "fedlearn") -> Iterator[tuple[str, Any]]:
    yield name, group
    for word, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name} {word}")


@pytest.mark.parametrize("columns", ["40", "80"])
def test_help_of_every_command_fits(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    every = dict(commands(typer.main.get_command(_app_for([]))))
    assert len(every) > 20
    for name, command in every.items():
        assert isinstance(command, Command | Group), name  # so that no option of it is given twice
        assert fedlearn(*name.split()[1:], "--help") == 0
        lines = capsys.readouterr().out.splitlines()
        assert not [line for line in lines if len(line) > int(columns) and len(line.split()) > 1], name
        for word in getattr(command, "commands", ()):
            assert any(line.startswith(f"  {word} ") for line in lines)


def test_the_manual_shows_grammars_in_full(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = "".join(run_help().split())
    for about in ABOUT.values():
        assert "".join(about.form.split()) in text


def test_help_and_lists_from_the_command(capsys):
    for arguments, says in (
        (["run", "digits", "--help"], "mlp, conv"),
        (["describe", "spam"], "spam, sequence"),
        (["list", "models"], "scenarios digits"),
        (["list", "strategy"], "fedprox"),
        (["--version"], "fedlearn "),
        (["run", "--help"], "--min-cohort"),
    ):
        assert fedlearn(*arguments) == 0
        assert says in capsys.readouterr().out
