"""Runs with groups that are killed between two of them, or refused before they begin."""

from __future__ import annotations

import json
import os
import signal
from multiprocessing import get_context
from pathlib import Path

import pytest

from aggregator import Aggregator, RunFolder
from aggregator.openers import Openers
from aggregator.robust import as_rule
from aggregator.robust.defence import Defence
from clients import InlinePool
from fedlearn.errors import BadInput
from fedlearn.strategies import FedAvg
from fedlearn.strategies.scaffold import Scaffold
from tests.aggregator.test_groups import COUNT, GROUPS, PROTECTIONS, SIZE, Hidden, Hopeless, run
from tests.scenarios.command import fedlearn
from tests.toys import (
    toy_clients,
    toy_model,
)  # fmt: skip


def killed_run(path: Path, protection: str) -> None:
    """Ends by SIGKILL when two groups' sums of round 2 were opened and the third is asked for."""
    ask, asked = Openers.ask, []

    def killing(openers, requests, *others):
        asked.append(requests)
        if len(asked) == {"paillier": 4 + 3, "threshold": 2 * 4 + 5}[protection]:
            os.kill(os.getpid(), signal.SIGKILL)
        return ask(openers, requests, *others)

    Openers.ask = killing  # type: ignore[method-assign]
    run(protection, rounds=3, folder=RunFolder(path, {}, {}, record=True))


@pytest.mark.parametrize("protection", ["paillier", "threshold"])
def test_a_run_that_ends_between_two_groups_opens_each_sum_for_the_same_clients_again(tmp_path, protection):
    process = get_context("spawn").Process(target=killed_run, args=(tmp_path / "run", protection))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    folder = RunFolder(tmp_path / "run", {}, {}, record=True, resume=True)
    history, model = run(protection, rounds=3, folder=folder)
    assert model == run("none", rounds=3)[1]
    opened = [
        json.loads(line)
        for memory in (tmp_path / "run" / "checkpoint" / "openers").iterdir()
        for line in memory.read_text().splitlines()
    ]
    sums = {(row["round"], row["group"], row["model"], tuple(row["clients"])) for row in opened}
    assert len({(round, group) for round, group, *_ in sums}) == len(sums) == 3 * len(GROUPS)
    assert not any(record.void for record in history.rounds)


# Refusals


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"robust": "krum:f=2"}, "12 clients in groups of 3: krum:f=2.* does not stand f=2 of 4 vectors"),
        ({"group_size": 12}, "cuts into one group"),
        ({"robust": "median", "group_size": 6}, "median stands no malicious group of 2: it takes 3 .* at least 18 cl"),
        ({"robust": "bulyan"}, "stands no malicious group of 4: it takes 7 .* at least 21 clients, lower group_size"),
        ({"robust": "bucketing:size=99+median", "group_size": 1}, "of 12: it takes 199 .* 199 clients, or"),
        ({"robust": Hopeless()}, "hopeless stands no malicious group of 4: take another rule"),
        ({"strategy": Scaffold()}, "sends delta and delta_c, .* and nnm.trimmed compares whole vectors"),
        ({"strategy": Scaffold(), "robust": "nnm+median"}, "compares whole vectors"),
        ({"group_size": 2, "protection": "paillier"}, "opens no sum of fewer than 3 clients"),
        ({"robust": None}, "group_size=3 has no effect without a rule"),
        ({"robust": 7}, "robust is 7"),
        ({"group_size": 0}, "group_size is 0"),
        ({"robust": "nnm+fltrust"}, "give them in Python, as robust=FLTrust"),
        ({"strategy": "fednova"}, "fednova sends steps beside the delta"),
        ({"protection": "paillier", "sampler": Hidden()}, "hidden is not public"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(settings, reason):
    settings = dict(settings)
    protection, strategy = settings.pop("protection", "none"), settings.pop("strategy", None)
    with pytest.raises(BadInput, match=reason):
        Aggregator(
            toy_model(), strategy or FedAvg(), PROTECTIONS[protection](), seed=5,
            **{"robust": "nnm+trimmed", "group_size": SIZE, **settings},
        ).fit(InlinePool(toy_clients(COUNT)), 1)  # fmt: skip


def test_no_malicious_group_may_be_asked_for():
    assert Defence(as_rule("bulyan:f=0"), SIZE, 15).f == 0
    assert Defence(as_rule("nnm+trimmed:f=0"), SIZE, 6).least == 2


def test_it_says_what_it_stands():
    assert str(Defence(as_rule("nnm+trimmed"), 3, 60)) == "nnm+trimmed over 20 groups of 3 clients stands f=9 malicious"
    assert str(Defence(as_rule("krum:f=2"), 1, 9)).endswith("over 9 groups of 1 client stands f=2 malicious")


def test_the_command_takes_a_rule_and_says_what_it_stands(tmp_path, capsys):
    path = tmp_path / "run"
    options = ["--clients", "12", "--cohort", "12", "--rounds", "1", "--examples-per-client", "4", "--out", str(path)]
    assert fedlearn("run", "digits", *options, "--robust", "multikrum:f=1", "--group-size", "2") == 0
    assert "multikrum:f=1,neighbours=n-f-2 over 6 groups of 2 clients stands f=1 malicious" in capsys.readouterr().err
    (row,) = (json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines())
    assert len(row["robust"]["chosen"]) == 5
    assert fedlearn("run", "digits", *options[:-1], str(tmp_path / "no"), "--group-size", "2") == 2
    assert "--group-size 2 has no effect without --robust" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
