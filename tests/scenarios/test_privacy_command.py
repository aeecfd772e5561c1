"""`fedlearn privacy`: known answers through the command, the inverse, and errors that name what was typed."""

from __future__ import annotations

import pytest

from tests.scenarios.command import fedlearn, last_json


def ask(capsys, *arguments):
    assert fedlearn("privacy", *arguments, "--json") == 0
    return last_json(capsys)


def test_both_epsilons_by_both_accountants(capsys):
    said = ask(capsys, "--rate", "0.1", "--noise", "1", "--rounds", "60", "--delta", "1e-5")
    assert (said["sampling"], said["adjacency"], said["participations"]) == ("poisson", "zero-out", 60)
    rdp, pld = said["accountants"]["rdp"], said["accountants"]["pld"]
    assert rdp["epsilon"] == pytest.approx(6.331062, abs=1e-5)
    assert pld["epsilon"] == pytest.approx(5.572689, abs=1e-4)
    assert rdp["epsilon_aggregator"] == pld["epsilon_aggregator"] > 60
    assert rdp["noise"] == pld["noise"] == 1


def test_with_the_number_of_clients_delta_and_participations_follow(capsys):
    said = ask(capsys, "--rate", "0.1", "--noise", "1", "--rounds", "60", "--clients", "830")
    assert said["delta"] == pytest.approx(830**-1.1)
    assert 14 <= said["participations"] <= 18
    assert said["accountants"]["pld"]["epsilon_aggregator"] == pytest.approx(21.97, abs=0.01)


def test_an_epsilon_gives_its_noise(capsys):
    said = ask(capsys, "--rate", "0.1", "--epsilon", "3", "--rounds", "60", "--delta", "6.177e-4")
    assert said["accountants"]["pld"]["noise"] == pytest.approx(1.144, abs=5e-4)
    for answer in said["accountants"].values():
        again = ask(capsys, "--rate", "0.1", "--noise", str(answer["noise"]), "--rounds", "60", "--delta", "6.177e-4")
        assert min(a["epsilon"] for a in again["accountants"].values()) <= answer["epsilon"] <= 3


def test_full_participation_is_the_same_for_both_parties(capsys):
    said = ask(capsys, "--rate", "1", "--noise", "4", "--rounds", "200", "--delta", "1e-6")
    pld = said["accountants"]["pld"]
    assert pld["epsilon"] == pld["epsilon_aggregator"] == pytest.approx(22.424516, abs=1e-4)
    everybody = ask(capsys, "--cohort", "50", "--clients", "50", "--noise", "4", "--rounds", "200", "--delta", "1e-6")
    assert everybody["accountants"] == said["accountants"]


def test_a_fixed_size_is_accounted_as_what_it_is(capsys):
    fixed = ["--cohort", "83", "--clients", "830", "--noise", "1", "--rounds", "60", "--delta", "6.15e-4"]
    said = ask(capsys, *fixed)
    assert (said["sampling"], said["adjacency"]) == ("fixed", "replace-one")
    assert said["accountants"]["rdp"]["epsilon"] == pytest.approx(50.293766, abs=1e-4)
    assert said["accountants"]["rdp"]["epsilon_aggregator"] > said["accountants"]["rdp"]["epsilon"]
    assert "no bound for samples of a fixed size" in said["accountants"]["pld"]["refused"]
    assert fedlearn("privacy", *fixed) == 0
    told = capsys.readouterr().out
    assert "replace-one: one client's update is exchanged" in told
    assert "drawn without replacement" in told


def test_people_are_told_adjacency_parties_and_secrecy(capsys):
    assert fedlearn("privacy", "--rate", "0.1", "--epsilon", "3", "--rounds", "60", "--clients", "830") == 0
    shown = capsys.readouterr()
    for part in ("zero-out: one client sends zeros", "the draws must be secret", "in at most 18 of 60 sums", "1.1439"):
        assert part in shown.out
    assert shown.err == ""


def test_a_large_delta_is_warned_of(capsys):
    assert fedlearn("privacy", "--rate", "0.1", "--noise", "1", "--clients", "830", "--delta", "0.01") == 0
    assert "warning: delta 0.01 is not below 1 / clients" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--rate 2 --noise 1 --delta 1e-5", "--rate 2: it must be above 0 and at most 1"),
        ("--rate nan --noise 1 --delta 1e-5", "--rate nan"),
        ("--rate .1 --noise 0 --delta 1e-5", "--noise 0: it must be at least 0.001"),
        ("--rate .1 --noise inf --delta 1e-5", "--noise inf"),
        ("--rate .1 --delta 1e-5", "give --noise Z for its epsilon, or --epsilon E"),
        ("--rate .1 --noise 1 --epsilon 1 --delta 1e-5", "one of them"),
        ("--noise 1 --delta 1e-5", "give --rate Q"),
        ("--rate .1 --cohort 5 --clients 9 --noise 1", "give --rate Q"),
        ("--cohort 5 --noise 1 --delta 1e-5", "--cohort 5 needs to know of how many: give --clients N"),
        ("--cohort 9 --clients 5 --noise 1", "--cohort 9: it must be 1 to --clients 5"),
        ("--rate .1 --noise 1", "--delta is missing"),
        ("--rate .1 --noise 1 --delta 1e-12", "--delta 1e-12: it must be at least 1e-09"),
        ("--rate .1 --noise 1 --delta 1", "--delta 1:"),
        ("--rate .1 --epsilon 0 --clients 5", "--epsilon 0: it must be above 0"),
        ("--rate 1 --epsilon 1e-9 --delta 1e-9 --rounds 100", "takes noise above 1e6"),
        ("--rate .1 --noise 1 --rounds 0 --clients 5", "--rounds 0: it must be at least 1"),
        ("--rate .1 --noise 1 --clients 1", "--clients 1: it must be at least 2"),
        ("--rate .1 --noise much --clients 5", "--noise"),
    ],
)
def test_bad_input_is_one_line_with_the_option_as_typed(capsys, arguments, says):
    assert fedlearn("privacy", *arguments.split()) == 2
    assert says in " ".join(capsys.readouterr().err.split())
