"""Few bits and a share of the weights at the command: what accuracy and bytes are left, and what is refused."""

from __future__ import annotations

import json

import pytest

from tests.scenarios.command import fedlearn, last_json, refusal

DIGITS = ["run", "digits", "--clients", "100", "--cohort", "20", "--lr", "0.5", "--quiet", "--json"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Accuracy by codec, each run once."""
    found: dict[tuple[str, ...], dict] = {}

    def run(capsys, *options: str) -> dict:
        if options not in found:
            out = tmp_path_factory.mktemp("runs") / "run"
            assert fedlearn(*DIGITS, "--rounds", "40", "--out", str(out), *options) == 0
            found[options] = last_json(capsys) | {"rows": _rows(out)}
        return found[options]

    return run


def _rows(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("options", "most"),
    [
        (("--codec", "bits=8,bound=auto"), 0.01),
        (("--codec", "bits=4,bound=auto,feedback=true"), 0.03),
        (("--codec", "bits=4,bound=auto,rounding=stochastic"), 0.03),
        (("--codec", "bits=8,bound=auto", "--sparsify", "0.1"), 0.02),
    ],
)
def test_few_bits_and_a_tenth_of_the_weights_learn_as_well(options, most, runs, capsys):
    exact, few = runs(capsys), runs(capsys, *options)
    assert few["metrics"]["accuracy"] >= exact["metrics"]["accuracy"] - most
    bounds = [row["bound"]["delta"] for row in few["rows"]]
    assert 4 <= bounds[0] < 8  # as the scenario has it, as far as steps of a power of two reach
    assert bounds[-1] < 1
    assert all(row["error_bound"] is None or row["error_bound"] > 0 for row in few["rows"])


def test_eight_bits_take_half_the_bytes_of_an_encrypted_update(tmp_path, capsys):
    sent = {}
    for name, codec in (("24", "bits=24"), ("8", "bits=8,bound=auto")):
        out = tmp_path / name
        toy = ["--protection", "paillier", "--key-bits", "1024", "--insecure-test-key", "--rounds", "1"]
        assert fedlearn(*DIGITS[:5], "3", *DIGITS[6:], *toy, "--codec", codec, "--out", str(out)) == 0
        sent[name] = _rows(out)[0]["bytes_up"]
    assert sent["8"] <= 0.52 * sent["24"]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--codec", "bound=auto,overflow=refuse"], "bound=auto moves a bound that clips, and overflow is refuse"),
        (["--codec", "bits=8,bound=automatic"], "a number or one of auto (did you mean 'auto'?) is needed"),
        (["--codec", "bits=1,bound=auto"], "at least 2 bits"),
        (["--codec", "rounding=down"], "one of nearest, stochastic"),
        (["--codec", "bits=8,bound=0.0001,overflow=clip"], "were clipped at the bound 0.0001, 10% may be: raise bound"),
        (["--codec", "feedback=true", "--dp", "noise=1,clip=1"], "error feedback with noise"),
        (["--sparsify", "0"], "--sparsify is 0.0, a number above 0"),
        (["--sparsify", "1.5"], "the most is 1, all of the weights"),
        (["--sparsify", "0.5", "--strategy", "scaffold"], "sparsify 0.5 under strategy scaffold"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(options, says, tmp_path, capsys):
    run = [*DIGITS[:-1], "--protection", "none", "--rounds", "1", "--out", str(tmp_path / "run")]
    assert fedlearn(*run, *options) == 2
    assert says in refusal(capsys)


@pytest.mark.parametrize("options", [["--dp", "noise=1,clip=1"], ["--dp", "noise=1,clip=1", "--sparsify", "0.5"]])
def test_with_noise_the_bound_is_the_clip_and_coins_are_secret(options, tmp_path, capsys):
    out = tmp_path / "run"
    run = [*DIGITS, "--protection", "none", "--rounds", "2", "--out", str(out)]
    assert fedlearn(*run, "--codec", "bits=16,bound=auto,rounding=stochastic", *options) == 0
    assert [row["bound"] for row in _rows(out)] == [{"delta": 1.0}] * 2
    capsys.readouterr()
