"""The pages that a newcomer reads first run as they stand, in order, with small keys; their stories by test-all."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fedlearn.datasets.tokens import tokenize
from fedlearn.protocol import bodies
from scenarios.report.seen import MEANING, flows
from tests.scenarios.command import fedlearn
from tests.typed import ROOT, SMALL, STORY, blocks, commands, small, typed

FIRST, CHAPTER, CLUSTER = "docs/first-hour.md", "docs/book-last-chapter.md", "docs/laptop-to-cluster.md"
HIDES = "docs/what-encryption-does-not-hide.md"
MAIL = "text,label,user\n" + "".join(
    f'"{text}, {user} {number}",{label},{user}\n'
    for number in range(20)
    for user in ("ann", "bo", "cy")
    for text, label in (("win a free prize", "spam"), ("see you at nine", "ham"))
)


def test_the_first_hour(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    Path("mail.csv").write_text(MAIL)
    said = {}
    for line in commands(FIRST):
        if not STORY.match(line):
            few = ["--vocabulary", "hashed:64"] if "mine" in line or "sweep" in line else []
            status = typed(line, *small(line), *few)
            said[line] = capsys.readouterr().out
            assert status == 0, line
    assert len(said) == 12
    rows = [
        list(map(json.loads, Path(run, "metrics.jsonl").read_text().splitlines())) for run in ("plain", "encrypted")
    ]
    assert [len(each) for each in rows] == [10, 12]  # the second was gone on with
    names = ("loss", "accuracy", "f1")
    figures = [[tuple(row[name] for name in names) for row in each[:10]] for each in rows]
    assert figures[0] == figures[1]
    shown = [line.split() for line in blocks(FIRST, "text")[0].splitlines()[4:]]
    assert [line[1:4] for line in shown] == [[f"{value:.4f}" for value in row] for row in figures[0][: len(shown)]]
    assert "not readable" in said["fedlearn inspect encrypted"]
    assert Path("both.html").is_file()
    assert Path("compared", "report.html").is_file()


@pytest.mark.parametrize("line", [line for line in commands(CLUSTER) if "processes" not in line])
def test_a_laptop_and_what_it_would_cost_out_there(line, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    assert typed(line, *small(line)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("line", [*commands(HIDES), *(line for line in commands(CLUSTER) if "processes" in line)])
def test_what_takes_seconds_each(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert typed(line, *small(line)) == 0


def test_the_last_chapter_says_what_it_claims(capsys):
    names: dict = {}
    for block in blocks(CHAPTER, "python"):
        exec(block, names)
    said = capsys.readouterr().out
    read, wrote = re.search(r"the server reads: (.*)\nwhich stood in: +(.*)\n", said).groups()
    assert set(read.split()) == {word for word in tokenize(wrote) if word in names["words"].words}
    error, bound = map(float, re.search(r"largest error (\S+), at most (\S+)\n", said).groups())
    assert error <= bound
    assert "the same model, bit for bit: True" in said
    used = {names["words"].words[number] for number in names["mails"].indices}
    assert names["named"] == used
    rights = list(map(float, re.findall(r"(\.\d+|\d\.\d+) right", said)))
    assert len(rights) == 5
    assert min(rights) > 0.95


def test_the_first_pages_have_the_commands_that_are_run():
    assert [len(commands(page)) for page in (FIRST, HIDES, CLUSTER)] == [13, 7, 3]


TABLE = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "who-sees-what.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and line.count("|") == 9
]
RUNS = {
    "none": [["--record"], ["--evaluate", "each"], ["--strategy", "scaffold"]],
    "masks": [[], ["--strategy", "scaffold"]],
    "paillier": [SMALL, [*SMALL, "--strategy", "scaffold"]],
    "threshold": [SMALL],
}


@pytest.mark.parametrize("protection", RUNS)
def test_the_table_of_messages_is_what_transcripts_say(protection, tmp_path, capsys):
    head, _, *rows = TABLE
    told = {(row[0], row[1], row[2].strip("`")): row[head.index(f"`{protection}`")] for row in rows}
    seen = {}
    for number, more in enumerate(RUNS[protection]):
        name = "threshold:2/3" if protection == "threshold" else protection
        out = tmp_path / str(number)
        run = ["run", "spam", "--vocabulary", "hashed:64", "--clients", "5", "--rounds", "2", "--quiet", "--lr", "0.1"]
        assert fedlearn(*run, "--protection", name, *more, "--out", str(out)) == 0, capsys.readouterr().err
        seen |= {(flow.sender, flow.recipient, flow.kind): flow.readable for flow in flows(out, protection)}
    rare = {key for key in told if key[2] == "Loss" or (key[2] == "Counted" and protection == "threshold")}
    assert seen == {key: word for key, word in told.items() if word != "-" and key not in rare}


def test_the_table_speaks_of_messages_and_words_that_there_are():
    head, _, *rows = TABLE
    assert all(hasattr(bodies, re.split(r"[` ]", row[2])[1]) or "RunPlan" in row[2] for row in rows)
    page = (ROOT / "docs" / "who-sees-what.md").read_text(encoding="utf-8")
    assert all(f"| {word} | " in page for word in MEANING)
    assert {word for row in rows for word in row[4:]} <= {*MEANING, "-"}
    assert head[4:] == ["`none`", "`masks`", "`paillier`", "`threshold`"]
