"""docs/your-own-mail.md runs as it stands, on six made-up mailboxes and with a test key."""

from __future__ import annotations

import json
import mailbox
import shlex
from email.message import EmailMessage
from pathlib import Path

import numpy as np
import pytest

from fedlearn.datasets import load_corpus
from tests.scenarios.command import fedlearn

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-mail.md").read_text(encoding="utf-8")
PEOPLE = ("anna", "boris", "chloe", "deniz", "emma", "farid")
HAM = ("see you at nine tomorrow", "the minutes of our meeting", "thanks for the cake", "mum says hello to you all")
SPAM = ("win a free prize now", "claim your cash reward", "cheap pills, order today", "urgent: your account is free")


def mail(person: str, number: int, spam: bool, labelled: bool = True) -> EmailMessage:
    rng = np.random.default_rng([PEOPLE.index(person), number])
    message = EmailMessage()
    message["From"], message["To"] = "somebody@mail.example", f"{person}@home.example"
    message["Subject"] = str(rng.choice(SPAM if spam else HAM))
    message["Date"] = "Fri, 06 Nov 2026 09:00:00 +0000"
    if labelled:
        message["X-Gmail-Labels"] = "Spam" if spam else "Inbox"
    message.set_content(f"{rng.choice(SPAM if spam else HAM)}, {person}, number {number}\n")
    if number % 7 == 0:
        message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="picture.png")
    return message


def write_mbox(path: Path, messages: list[EmailMessage]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    box = mailbox.mbox(path)
    for message in messages:
        box.add(message)
    box.close()


def command(line: str, capsys) -> str:
    """What a line of the page prints, run with a small key."""
    words = shlex.split(line)
    words = ["fedlearn", "run", words[2].removeprefix("scenarios."), *words[3:]] if words[0] == "python" else words
    if "generate" in words:
        words += ["--bits", "512", "--insecure-test-key"]
    elif "run" in words:
        words += ["--insecure-test-key", *([] if "--keys" in words else ["--key-bits", "512"])]
    status = fedlearn(*words[1:])
    said = capsys.readouterr()
    assert status == 0, said.err
    return said.out + said.err


def test_the_page_from_files_to_a_filter_that_answers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for person in PEOPLE:
        write_mbox(Path("mbox", f"{person}.mbox"), [mail(person, i, i % 3 == 0) for i in range(30)])
    blocks = [block.strip() for block in PAGE.split("```")[1::2]]
    assert sorted(path.as_posix() for path in Path("mbox").iterdir()) == sorted(blocks[0].split())
    lines = [line for block in blocks[1:] for line in block.splitlines()]
    said = {line: command(line, capsys) for line in lines}

    shown, trained, predicted, evaluated, _, went_on = said.values()
    assert all(f"user {person}" in shown for person in PEOPLE)
    assert "180 messages, 33% spam, 6 users" in trained
    run = json.loads(Path("filter/run.json").read_text())
    assert run["configuration"]["protection"] == "paillier"
    assert run["configuration"]["partition"] == "natural"
    assert run["outcome"]["metrics"]["accuracy"] > 0.9
    assert [line.split("\t")[0] for line in predicted.splitlines()] == ["spam", "ham"]
    assert "(" in predicted.splitlines()[0]
    assert all(person in evaluated for person in PEOPLE)
    assert "filter2" in went_on
    assert json.loads(Path("filter2/run.json").read_text())["configuration"]["from"] == "filter"


@pytest.mark.parametrize("program", ["thunderbird", "apple", "server"])
def test_the_other_programs_of_the_table(program, tmp_path):
    for person in PEOPLE[:3]:
        ham = [mail(person, i, False, labelled=False) for i in range(8)]
        spam = [mail(person, i, True, labelled=False) for i in range(4)]
        if program == "thunderbird":
            write_mbox(tmp_path / person / "Inbox", ham)
            write_mbox(tmp_path / person / "Junk", spam)
            (tmp_path / person / "Inbox.msf").write_text(
                '// <!-- <mdb:mork:z v="1.4"/> -->\n< <(a=c)> // (f=iso-8859-1)'
            )
        elif program == "apple":
            write_mbox(tmp_path / f"{person}.mbox" / "mbox", ham)
            (tmp_path / f"{person}.mbox" / "table_of_contents").write_bytes(b"\0\1\2" * 400)
            write_mbox(tmp_path / person / "Junk.mbox" / "mbox", spam)
        else:
            for folder, messages in (("", ham), (".Junk", spam)):
                box = mailbox.Maildir(tmp_path / person / folder)
                for message in messages:
                    box.add(message)
    corpus = load_corpus(str(tmp_path))
    assert (len(corpus), int(corpus.labels.sum())) == (36, 12)
    assert set(corpus.users or ()) == set(PEOPLE[:3])
