"""What people type wrongly: one line that names the value as it was typed, the limit and the remedy, and status 2."""

from __future__ import annotations

import json
import logging
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from fedlearn.disk import write_atomic
from scenarios.command.console import log_to_terminal, standard_error
from tests.scenarios.command import fedlearn, last_json

RUN = [sys.executable, "-m", "fedlearn"]
FAST = ["--protection", "none", "--rounds", "1", "--quiet"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").write_text("something")
    (tmp_path / "twice.toml").write_text('scenario = "digits"\nbatch-size = 3\nbatch_size = 4\n')
    (tmp_path / "four.csv").write_text("a,b,class\n1,2,x\n2,3,y\n3,1,x\n4,2,y\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        # numbers
        (["run", "spam", "--dim", "100000000"], "--dim is 100000000, a number from 1 to 65536 is needed"),
        (["run", "spam", "--seed", "99999999999999999999999"], "--seed is 99999999999999999999999, a number from 0 to"),
        (["run", "spam", "--seed", "1e5"], "--seed is '1e5', a whole number is needed, as in --seed 3"),
        (["run", "spam", "--seed", "0,1,2"], "--seed is '0,1,2', a whole number is needed"),
        (["run", "spam", "--clients", "3.5"], "--clients is '3.5', a whole number is needed"),
        (["run", "spam", "--clients", "100000000"], "--clients is 100000000, a number from 1 to 10000000"),
        (["run", "spam", "--lr", "0,5"], "--lr is '0,5', a number is needed, as in --lr 0.1"),
        (["run", "spam", "--lr", "nan"], "--lr is 'nan', a number is needed"),
        (["run", "spam", "--lr", "inf"], "--lr is inf, a number above 0 is needed"),
        (["run", "spam", "--key-bits", "4096000"], "--key-bits is 4096000, a number from"),
        (["run", "spam", "--min-cohort", "0"], "--min-cohort is 0, a number from 1"),
        (["run", "spam", "--min-cohort", "1"], "--min-cohort is 1"),
        (["run", "spam", "--batch-size", "0"], "--batch-size is 0, a number from 1"),
        (["run", "spam", "--workers", "0"], "--workers is 0"),
        (["run", "spam", "--strategy", "fedavg:lr=0.1", "--lr", "2"], "contradict each other: give lr once"),
        # given twice
        (["run", "digits", "--lr", "1", "--lr", "2"], "--lr is given twice, 1 and 2: give it once"),
        (["run", "digits", "--lr=1", "--lr", "1"], "--lr is given twice, 1 and 1"),
        (["sweep", "digits", "--lr", "1", "--lr", "2", "--jobs", "1", "--jobs=2"], "--jobs is given twice, 1 and 2"),
        (["keys", "generate", "--out", "a", "--out", "b", "--bits", "x"], "--out is given twice, a and b"),
        (["data", "fetch", "sample", "--folder", "a", "--folder", "b"], "--folder is given twice, a and b"),
        (["predict", "--run", "a", "--run", "b"], "--run is given twice, a and b"),
        (["run", "digits", "--resume", "a", "--resume", "b"], "--resume is given twice, a and b"),
        (["run", "digits", "--resume", "a", "--out", "b"], "--resume a goes on in its own folder, and --out is b"),
        (["run", "--config", "twice.toml"], "twice.toml has two spellings of --batch-size: keep one"),
        # names
        (["run", "spam", "--strategy", "fedavg,fedprox"], "unknown strategy 'fedavg,fedprox'"),
        (["run", "spma"], "unknown scenario 'spma' (did you mean 'spam'?)"),
        (["run"], "no scenario"),
        (["run", "spam", "--colour", "red"], "No such option: --colour"),
        (["lst"], "No such command 'lst'"),
        (["list", "modles"], "nothing of the kind 'modles' (did you mean 'models'?)"),
        (["describe", "nosuch"], "unknown scenario 'nosuch'"),
        (["run", "count_spam", "--kernels", "numba"], "has no effect in this scenario"),
        (["run", "spam", "--kernels", "fast"], "kernels are 'fast': choose one of numpy, numba, measure"),
        (["run", "digits", "--data", "irises"], "'irises' is neither a file nor a data set"),
        (["run", "spam", "--malicious", "flip:0.2"], "unknown behaviour 'flip'"),
        (["run", "shakespeare", "--data", "sample_play", "--partition", "shards:2"], "pieces of a text have none"),
        (
            ["run", "spam", "--codec", "bits=8,addends=4000000000", "--strategy", f"fedavg:max_weight={2**40}", *FAST],
            "lower max_weight in --strategy, or addends in --codec",
        ),
        (["run", "spam", "--codec", "bits=24,addends=2", *FAST], "set addends=3 or more in --codec"),
        (["run", "spam", "--max-overlap", "1"], "--max-overlap is 1, and any two cohorts of 3 of 3 clients share 3"),
        (["run", "digits", "--data", "four.csv"], "four.csv: 4 rows at test fraction 0.2 would leave none to test"),
        # what is missing
        (["sweep"], "Missing argument 'scenario', a name from `fedlearn list scenario`: `fedlearn sweep --help` shows"),
        (["attack", "words"], "Missing option '--run', folder of a run made with --record: `fedlearn attack --help`"),
        (["sweep", "spam", "--seeds"], "Option '--seeds' requires an argument"),
        (["run", "spam", "digits"], "unexpected extra argument(s) (digits): `fedlearn run --help` shows"),
        (["sweep", "digits", "--jobs", "1.5"], "--jobs is '1.5', a whole number is needed"),
        (["generate", "--run", "x", "--length", "0"], "--length is '0': it should be greater than or equal to 1"),
        (["predict", "--run", "x", "-5.1,2"], "No such option: -5: put -- before what begins with a -"),
        (["privacy", "--noise", "much"], "--noise is 'much', a number is needed"),
        (["help"], "No such command 'help': `fedlearn --help` names all"),
        (["keys", "foo"], "No such command 'foo': `fedlearn keys --help` names all"),
        # files and folders
        (["run", "spam", "--data", "~/nofile.tsv"], "nofile.tsv"),
        (["run", "spam", "--out", "", *FAST], "--out is empty: give a path, or leave it out"),
        (["run", "spam", "--protection", ""], "--protection is empty: give a value, or leave it out"),
        (["keys", "generate", "--out", ""], "--out is empty: give a path, or leave it out"),
        (["predict", "--run", "", "hello"], "--run is empty: give a path, or leave it out"),
        (["inspect", ""], "DIR is empty: give a path, or leave it out"),
        (["data", "fetch", "sample", "--folder", ""], "--folder is empty: give a path, or leave it out"),
        (["run", "digits", "--model", "mlp:width=64"], "model mlp takes no argument, it was given 'width=64'"),
        (["run", "digits", "--pool", "inline:2"], "pool inline takes no argument, it was given '2': leave it out"),
        (["run", "spam", "--data", "\udcff.csv", *FAST], r"--data '\udcff.csv' is not UTF-8, as a run's files are"),
        (["run", "spam", "--from", " ", *FAST], "--from is empty"),
        (["run", "spam", "--pki", "", *FAST], "--pki is empty"),
        (["run", "spam", "--out", ".", *FAST], "run folder . is not empty: give another one"),
        (["run", "spam", "--out", "file", *FAST], "run folder file is a file: give another one"),
        (["run", "spam", "--out", "/proc/x", *FAST], "/proc/x: "),
        (["run", "book_spirals", "--out", "/proc/x", "--quiet"], "/proc/x: "),
        (["run", "spam", "--config", "nofile.toml"], "cannot read nofile.toml"),
        (["run", "--config", "file"], "file is no TOML"),
        (["run", "--resume", "nothing"], "nothing holds no run to resume"),
        (["run", "spam", "--resume", "nothing"], "nothing holds no run to resume"),
        (["keys", "generate", "--out", "/proc/k", "--bits", "2048"], "/proc/k"),
        (["keys", "generate", "--out", "k", "--bits", "4096000"], "4096000"),
        (["data", "fetch", "sample"], "built in: there is nothing to download"),
        (["attack", "changed_rows", "--run", "nothing"], "nothing"),
        (["attack", "nosuch", "--run", "nothing"], "unknown attack 'nosuch'"),
        (["bench", "nosuch"], "unknown benchmark 'nosuch'"),
    ],
)  # fmt: skip
def test_one_line_names_what_was_typed(arguments, says, capsys, tmp_path):
    status = fedlearn(*arguments, *(["--json"] if arguments[0] in ("run", "attack", "bench") else []))
    shown = capsys.readouterr()
    lines = [line for line in shown.err.splitlines() if line.startswith("fedlearn: ")]
    assert (status, len(lines)) == (2, 1), shown.err
    assert says in lines[0]
    assert "Traceback" not in shown.err
    assert "malicious: " not in shown.err
    if shown.out:
        error = json.loads(shown.out.splitlines()[-1])["error"]
        assert (error["message"], error["status"]) == (lines[0].removeprefix("fedlearn: "), 2)
    else:
        assert arguments[0] in (
            "keys",
            "data",
            "list",
            "describe",
            "lst",
            "inspect",
            "help",
            "sweep",
            "privacy",
            "generate",
            "predict",
        )
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "runs") == ["file", "four.csv", "twice.toml"]
    assert not list(tmp_path.glob("runs/*"))


def test_code_in_a_traceback_is_shown_as_it_is(capsys):
    with log_to_terminal(Console(file=standard_error(), width=200), quiet=False):
        logging.getLogger("clients").error("batch_size is 0\nTraceback:\n    batch_size = 1 / 0")
    assert capsys.readouterr().err.splitlines() == ["ERROR: --batch-size is 0", "Traceback:", "    batch_size = 1 / 0"]


def test_a_place_is_named_as_it_was_typed_not_as_the_file_that_is_renamed_to_it():
    with pytest.raises(FileNotFoundError) as caught:
        write_atomic(Path("nodir/x.html"), b"")
    assert str(caught.value) == "[Errno 2] No such file or directory: 'nodir/x.html'"


def test_run_alone_asks_for_a_scenario(capsys):
    assert fedlearn("run") == 2
    assert capsys.readouterr().err.startswith("fedlearn: no scenario: give its name")


def test_home_is_expanded(tmp_path, capsys):
    assert fedlearn("run", "spam", *FAST, "--json", "--out", "~/there") == 0
    assert last_json(capsys)["run_dir"] == str(tmp_path / "there")


def test_what_every_client_says_is_shown_once(capsys):
    pytest.importorskip("sklearn", reason="pip install 'fedlearn[datasets]'")
    assert fedlearn("run", "digits", "--lr", "1e9", "--rounds", "1", "--quiet") == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert told.count("outside the bound") == 1
    assert "(99 more alike)" in told
    assert "raise bound or set overflow=clip in --codec, or lower --lr" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "generate", "--bits", "512", "--insecure-test-key", "--out", "k"],
        ["run", "book_spirals", "--quiet", "--epochs", "1", "--out", "k"],
        ["report", "run", "--out", "report.html"],
    ],
)
def test_a_disk_that_is_full_is_one_line(arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLEARN_PASSPHRASE", "a long enough passphrase")
    assert fedlearn("run", "spam", *FAST, "--out", "run") == 0
    full = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); "  # bytes of one file
    full += "sys.dont_write_bytecode = True; "  # which would be cut, and read by whoever comes next
    code = full + "from scenarios.command.main import main; main(sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=_environment())
    told = [line for line in done.stderr.splitlines() if not line.startswith("WARNING: ")]
    assert (done.returncode, len(told)) == (1, 1), done.stderr
    assert "File too large" in told[0]
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["list"], 1), (["describe", "spam"], 1), (["--version"], 1), (["run", "spam", *FAST], 1),
     (["run", "spam", *FAST, "--json"], 1)],
)  # fmt: skip
def test_a_full_disk_behind_standard_output_is_one_line(arguments, status):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run([*RUN, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, env=_environment())
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr


def test_a_reader_that_closes_early_costs_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*RUN, "list"], stdout=writer, stderr=subprocess.PIPE, text=True, env=_environment())
    os.close(writer)
    assert "Traceback" not in done.stderr


def test_it_runs_without_standard_streams(tmp_path):
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *RUN, "run", "spam", *FAST, "--pool", "processes"]
    done = subprocess.run([*command, "--out", "run"], cwd=tmp_path, env=_environment())
    assert done.returncode == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]["state"] == "done"
    told = [*RUN, "predict", "--run", "run", "größe"]
    ascii_only = _environment() | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(told, cwd=tmp_path, env=ascii_only, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split("\t")[-1]) == (0, "gr\\xf6\\xdfe\n"), done.stderr


def test_a_closed_terminal_ends_a_run_in_good_order(tmp_path):
    master, slave = pty.openpty()
    run = subprocess.Popen(
        [*RUN, "run", "digits", "--rounds", "100000", "--out", "run", "--pool", "processes"],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, cwd=tmp_path, env=_environment(),
    )  # fmt: skip
    os.close(slave)
    try:
        metrics = tmp_path / "run" / "metrics.jsonl"
        limit = time.monotonic() + 240
        while not (metrics.exists() and metrics.stat().st_size) and run.poll() is None and time.monotonic() < limit:
            if select.select([master], [], [], 0.5)[0]:
                os.read(master, 1 << 16)
        os.close(master)
        run.send_signal(signal.SIGHUP)
        assert run.wait(timeout=240) == 128 + signal.SIGHUP
    finally:
        run.kill()  # a run that did not end would go on for hours
    assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]["state"] == "interrupted"


def _environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": root}


@pytest.mark.parametrize("arguments", [[], ["keys"], ["data"], ["flower"]])
def test_a_group_alone_shows_its_commands_a_line_each(arguments, capsys):
    assert fedlearn(*arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"Usage: {' '.join(['fedlearn', *arguments])} ")
    assert "\\n" not in said
    assert "Commands" in said.splitlines()


def test_of_all_commands_the_one_to_begin_with_stands_first(capsys):
    assert fedlearn("--help") == 0
    commands = capsys.readouterr().out.partition("Commands\n")[2]
    assert commands.split()[0] == "run"
