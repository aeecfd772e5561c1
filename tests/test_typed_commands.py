"""Every command of README and docs is typed by a test, with small keys, few rounds and files of its own; what takes
seconds each by `make test-all`. Every block of Python runs, or stands in a table here with the reason why not.
"""

from __future__ import annotations

import mailbox
import shlex
from email.message import EmailMessage
from pathlib import Path

import numpy as np
import pytest

from aggregator import Aggregator
from clients import Client
from fedlearn.datasets import load_corpus
from fedlearn.testing.toys import dense_examples, dense_model
from tests.scenarios.command import fedlearn, last_of_each
from tests.typed import ROOT, SMALL, STORY, blocks, commands, small

MINE = """
from dataclasses import dataclass

from fedlearn.attacks.base import Attack, Finding
from fedlearn.strategies import FedAvg


@dataclass(frozen=True)
class Mine(FedAvg):
    mu: float = 0.5
    name = "mine"
"""
LOUD = (
    MINE.replace("class Mine(FedAvg)", "class Other(FedAvg)")
    + """

class Seen(Finding):
    def summary(self):
        return "something"


class Mine(Attack):
    name = "mine"

    def run(self, view):
        return [Seen("mine", "sum", 1)]
"""
)
PAGES = ("README", "attacks", "comparing-runs", "crypto", "exchange", "privacy", "simulation", "your-own-data", "books")
BY_OTHER_TESTS = {
    "docs/first-hour.md", "docs/what-encryption-does-not-hide.md", "docs/laptop-to-cluster.md",  # test_first_pages
    "docs/sums.md",  # scenarios/test_sums
    "docs/training.md",  # scenarios/test_training_page
    "docs/your-own-mail.md",  # scenarios/test_own_mail
    "docs/your-own-parts.md",  # test_own_parts
    "docs/flower.md",  # flower/test_folder, in an environment with Flower
}  # fmt: skip
NOT_HERE = {  # a line: why no test types it
    "fedlearn run digits --pool ray --workers 64 --ray-address 10.0.0.1:6379": "it needs a cluster",
    "fedlearn run digits --pool ray --workers 4": "it needs Ray: tests/clients/test_ray.py",
    "fedlearn keys generate --out mykeys --encrypt": "it asks for a passphrase: scenarios/test_keys.py",
    "fedlearn run spam --keys mykeys": "it asks for a passphrase: scenarios/test_keys.py",
}
LINES = {  # how a line is typed where a test has to say more, or to fill a place that is only named
    "fedlearn report DIR...": "fedlearn report first",
    "fedlearn report one another --out both.html --open": "fedlearn report one another --out both.html",  # no browser
    "fedlearn keys generate --out ours --threshold 4/5 --encrypt": (
        "fedlearn keys generate --out ours --threshold 4/5 --encrypt --passphrase-file secret.txt --bits 512 "
        "--insecure-test-key"
    ),
}
SLOW = ("run costs", "run shakespeare", "run book", "sweep digits --strategy fedavg,fedprox", "run digits --model conv")


def command_pages() -> list[str]:
    return [f"docs/{page}.md" if page != "README" else "README.md" for page in PAGES]


def line_of(line: str) -> list[str]:
    """The words that are typed for a line."""
    words = [*shlex.split(LINES.get(line, line)), *small(line)]
    if line.startswith("fedlearn run spam") and "--help" not in line:
        words += [] if "--from" in line or "--vocabulary" in line else ["--vocabulary", "hashed:256"]
    if line.startswith("fedlearn run digits") or "sweep digits" in line or line.startswith("fedlearn run spam --dp"):
        words += ["--rounds", "2"] if "--help" not in line else []
    if line.startswith("fedlearn run count_spam"):
        words += SMALL
    if line == "fedlearn run spam --protection threshold --keys ours --passphrase-file secret.txt":
        words = [word for word in words if word not in ("--key-bits", "512")] + ["--clients", "5", "--rounds", "1"]
    if line == "fedlearn run spam":
        words += ["--out", "first"]
    return words[1:] if "sweep" in words else last_of_each(*words[1:])


def takes_seconds(line: str) -> bool:
    return bool(STORY.match(line)) or any(part in line for part in SLOW)


def mail(spam: bool, number: int) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "somebody@mail.example", "ida@home.example"
    message["Subject"] = "win a free prize" if spam else "see you at nine"
    message["X-Gmail-Labels"] = "Spam" if spam else "Inbox"
    message.set_content(f"claim it now, number {number}" if spam else f"at the station, number {number}")
    return message


def lay_out(folder: Path) -> None:
    """All files that the pages name."""
    rows = [
        f"{text} {number},{label},{user}"
        for number in range(20)
        for user in ("ida", "bob", "sue")
        for text, label in ((f"win a free prize {user}", "spam"), (f"see you at nine {user}", "ham"))
    ]
    for name in ("mail.csv", "new.csv", "newer.csv"):
        (folder / name).write_text("\n".join(["text,label,user", *rows]), encoding="utf-8")
    for name in ("more.mbox", "other.mbox", "mail.mbox"):
        box = mailbox.mbox(folder / name)
        for number in range(12):
            box.add(mail(number % 3 == 0, number))
        box.close()
    (folder / "new.eml").write_bytes(mail(True, 1).as_bytes())
    (folder / "texts.txt").write_text("see you at nine\nwin a prize\n")
    (folder / "secret.txt").write_text("correct horse battery staple\n")
    (folder / "secret.txt").chmod(0o600)
    (folder / "words.txt").write_text("free\nprize\nwin\nyou\nat\nnine\n")
    (folder / "my.txt").write_text("To be, or not to be, that is the question.\n" * 400)
    (folder / "mine.py").write_text(LOUD if "attacks" in folder.name else MINE)


def made_before(page: str) -> None:
    """Runs that a page takes as given."""
    if "comparing" in page:
        for number, out in enumerate(("one", "another")):
            assert fedlearn("run", "digits", "--rounds", "2", "--quiet", "--seed", str(number), "--out", out) == 0
        Path("mine").mkdir()
        Path("one").rename("mine/one")
        assert fedlearn("run", "digits", "--rounds", "2", "--quiet", "--out", "one") == 0
    if "own-data" in page:
        flowers = ["run", "digits", "--data", "iris", "--clients", "5", "--rounds", "2", "--quiet", "--out", "flowers"]
        assert fedlearn(*flowers) == 0
        play = ["run", "shakespeare", "--protection", "none", "--dim", "8", "--rounds", "1", "--quiet", "--out", "play"]
        assert fedlearn(*play) == 0
    if "exchange" in page:
        torch = pytest.importorskip("torch", reason="pip install 'fedlearn[torch]'")
        pytest.importorskip("onnx", reason="pip install 'fedlearn[onnx]'")
        state = {"bias": torch.zeros(1), "words.weight": torch.zeros(256, 1)}
        torch.save(state, "other.pt")


LONG = ("README.md", "docs/exchange.md")  # many seconds; other tests run most of it too


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page in LONG else ())
        for page in command_pages()
        if page != "docs/books.md"
    ],
)
def test_the_commands_of_a_page(page, tmp_path_factory, monkeypatch, capsys):
    for needs in ("sklearn", "matplotlib"):
        pytest.importorskip(needs)
    folder = tmp_path_factory.mktemp(Path(page).stem)
    monkeypatch.chdir(folder)
    lay_out(folder)
    made_before(page)
    for line in commands(page):
        if line in NOT_HERE or takes_seconds(line):
            continue
        words = line_of(line)
        if {"sms_spam", "enron"} & set(words) and not has_real_data():
            words = ["sample" if word in ("sms_spam", "enron") else word for word in words]
        status = fedlearn(*words)
        assert status == 0, f"{line}\n{' '.join(words)}\n{capsys.readouterr().err}"


def has_real_data() -> bool:
    try:
        load_corpus("enron")
    except Exception:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "line"), [(page, line) for page in command_pages() for line in commands(page) if takes_seconds(line)]
)
def test_commands_that_take_seconds_each(page, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    if "sms_spam" in line and not has_real_data():
        line = line.replace("sms_spam", "sample")
    assert fedlearn(*line_of(line)) == 0


def test_no_page_has_a_command_that_no_test_types():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    with_commands = {str(path.relative_to(ROOT)) for path in pages if commands(str(path.relative_to(ROOT)))}
    assert with_commands == {*command_pages(), *BY_OTHER_TESTS}
    all_lines = {line for page in command_pages() for line in commands(page)}
    assert {*NOT_HERE, *LINES} <= all_lines


PEOPLE = [Client(f"client-{number}", dense_examples(6, seed=number)) for number in range(20)]
UPDATES = list(np.random.default_rng(0).uniform(-1, 1, (5, 7)).astype(np.float32))
NAMES = {  # what the blocks of a page take as given
    "docs/crypto.md": lambda: {"updates": UPDATES},
    "docs/robust.md": lambda: {
        "vectors": np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32), "Aggregator": Aggregator,
        "model": dense_model(), "clients": PEOPLE,
    },
    "docs/sums.md": lambda: {"clients": [(np.full((9, 1), 100.0 * n), np.zeros(9, np.int64)) for n in range(5)]},
}  # fmt: skip
SHOWN_ONLY = {  # a page whose Python is for reading: why
    "docs/engine.md": "rows of the table of ops, and a listing of the book beside ours",
    "docs/flower.md": "it needs Flower: tests/flower",
}
PYTHON_BY_OTHERS = {
    "README.md", "docs/book-last-chapter.md", "docs/training.md", "docs/exchange.md", "docs/your-own-data.md",
    "docs/your-own-parts.md",
}  # fmt: skip


@pytest.mark.parametrize("page", NAMES)
def test_the_python_of_a_page(page):
    names = NAMES[page]()
    for block in blocks(page, "python"):
        exec(block.replace("bits=3072", "bits=2048").replace('"paillier"', '"masks"'), names)


def test_no_page_has_python_that_no_test_runs():
    pages = [str(path.relative_to(ROOT)) for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    assert {page for page in pages if blocks(page, "python")} == {*NAMES, *SHOWN_ONLY, *PYTHON_BY_OTHERS}
