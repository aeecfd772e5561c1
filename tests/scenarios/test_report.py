"""The report: whole, escaped, closed to the outside, and true to the run folders."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from fedlearn.attacks.base import Finding
from scenarios.report.charts import ticks
from scenarios.report.findings import keep, kept
from scenarios.report.runs import configurations, find
from scenarios.report.seen import KEY, READABLE, SEALED, flows
from tests.scenarios.command import fedlearn

SPAM = ["run", "spam", "--vocabulary", "hashed:64", "--clients", "5", "--rounds", "3", "--quiet"]
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


class Page(HTMLParser):
    """Raises where tags do not close in order; keeps ids, what refers to them, addresses, and the text."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.referred: list[str] = []
        self.addresses: list[str] = []
        self.rows: list[int] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        self.ids += [said["id"]] if "id" in said else []
        self.referred += (said.get("aria-labelledby") or "").split()
        self.addresses += [said[name] for name in ("href", "src", "action", "data") if name in said]
        if tag == "svg":
            assert said.get("aria-hidden") == "true" or said["role"] == "img"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two protections with two seeds each, in one folder."""
    folder = tmp_path_factory.mktemp("runs")
    for protection in ("none", "masks"):
        for seed in ("0", "1"):
            given = ["--protection", protection, "--seed", seed, "--faults", "dropout=0.2"]
            assert fedlearn(*SPAM, *given, "--out", str(folder / f"{protection}-{seed}")) == 0
    return folder


def test_the_page_is_whole_and_asks_for_nothing(runs, tmp_path, capsys):
    assert fedlearn("report", str(runs), "--out", str(tmp_path / "page.html")) == 0
    assert capsys.readouterr().out.strip().endswith("page.html")
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert set(page.referred) <= set(page.ids)
    for address in page.addresses:
        assert address == "data:," or address[1:] in page.ids
    assert not re.search(r"url\(|@import|https?://|fetch\(", text)
    assert len(text) < 2_000_000


def test_the_page_tells_what_the_run_folders_hold(runs, tmp_path):
    assert fedlearn("report", str(runs), "--out", str(tmp_path / "page.html")) == 0
    text = Page((tmp_path / "page.html").read_text()).text
    for path in runs.glob("*/run.json"):
        run = json.loads(path.read_text())
        assert run["outcome"]["model_sha256"] in text
        assert f"fedlearn run --config {path.parent / 'run.toml'}" in text or run["seed"] == 1
    assert "4 runs of 2 configurations" in text
    assert "dropped out" in text
    assert "protection (differs)" in text
    assert "Seed 0: protection masks and protection none gave the same model, bit for bit." in text


def test_seeds_are_one_configuration_and_its_label_says_what_differs(runs):
    found = configurations(find([runs, runs / "none-0"]))
    assert [(each.label, len(each.runs)) for each in found] == [("protection masks", 2), ("protection none", 2)]


def test_what_can_be_read_follows_from_the_protection(runs):
    plain = {flow.kind: flow for flow in flows(runs / "none-0", "none")}
    hidden = {(flow.recipient, flow.kind): flow for flow in flows(runs / "masks-0", "masks")}
    assert plain["PartialSum"].readable == READABLE
    assert hidden["aggregator", "Update"].readable == SEALED
    rows = [json.loads(line) for line in (runs / "masks-0" / "transcript.jsonl").read_text().splitlines()]
    assert sum(flow.bytes for flow in hidden.values()) == sum(row["bytes"] for row in rows)
    assert sum(flow.messages for flow in hidden.values()) == len(rows)


def test_a_key_holder_could_read_what_it_sees_go_by(tmp_path):
    keys = ["--protection", "paillier", "--key-bits", "512", "--insecure-test-key"]
    assert fedlearn(*SPAM, *keys, "--out", str(tmp_path / "run")) == 0
    found = {(flow.recipient, flow.kind): flow.readable for flow in flows(tmp_path / "run", "paillier")}
    assert found["openers", "Update"] == KEY
    assert found["aggregator", "Update"] == SEALED


def test_ten_lines_in_the_terminal(runs, capsys):
    assert fedlearn("inspect", str(runs / "masks-1")) == 0
    lines = capsys.readouterr().out.splitlines()
    outcome = json.loads((runs / "masks-1" / "run.json").read_text())["outcome"]
    assert len(lines) == 10
    assert f"{outcome['bytes_up']:,} up, {outcome['bytes_down']:,} down" in lines[6]


def test_a_line_for_each_run_of_a_folder(runs, tmp_path, capsys):
    shutil.copytree(runs / "masks-1", tmp_path / "some" / "good")
    shutil.copytree(runs / "none-0", tmp_path / "some" / "damaged")
    (tmp_path / "some" / "damaged" / "run.json").write_text("{")
    assert fedlearn("inspect", str(tmp_path / "some")) == 0
    damaged, good, total = capsys.readouterr().out.splitlines()
    assert "damaged  cannot be read" in damaged
    assert "spam under masks: done, 3 rounds, loss " in good
    assert total.startswith("2 runs, ")
    (tmp_path / "empty").mkdir()
    assert fedlearn("inspect", str(tmp_path / "empty")) == 2
    assert "holds no run" in capsys.readouterr().err


def test_text_of_the_run_is_text_and_never_markup(runs, tmp_path):
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    folder.mkdir()
    run = json.loads((runs / "none-0" / "run.json").read_text())
    run["outcome"] |= {"state": "failed", "reason": "</script><script>alert(1)</script>"}
    run["configuration"]["strategy"] = "</title><b>"
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "metrics.jsonl").write_text((runs / "none-0" / "metrics.jsonl").read_text())
    assert fedlearn("report", str(folder), str(runs), "--out", str(tmp_path / "page.html")) == 0
    text = (tmp_path / "page.html").read_text()
    Page(text)
    assert "<img" not in text
    assert "<b>" not in text
    assert text.count("<script>") == 1


def test_a_story_and_a_run_at_work_have_pages_too(runs, tmp_path):
    assert fedlearn("run", "book_gradient_check", "--quiet", "--out", str(tmp_path / "story")) == 0
    assert fedlearn("report", str(tmp_path / "story")) == 0
    Page((tmp_path / "story" / "report.html").read_text())
    work = tmp_path / "work"
    work.mkdir()
    run = json.loads((runs / "none-0" / "run.json").read_text())
    (work / "run.json").write_text(json.dumps(run | {"outcome": {"state": "running"}}))
    whole = (runs / "none-0" / "metrics.jsonl").read_text()
    (work / "metrics.jsonl").write_text(whole[:-20])
    assert fedlearn("report", str(work)) == 0
    assert "1 running" in (work / "report.html").read_text()
    assert fedlearn("inspect", str(work)) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report", "nowhere"], "nowhere holds no run"),
        (["report", "broken"], "holds no run that can be read"),
        (["inspect", "nowhere"], "holds no run"),
        (["inspect", "broken"], "holds no run that can be read"),
        (["report", "whole", "--out", "."], "is a folder: give a file"),
    ],
)
def test_what_cannot_be_shown_says_why(arguments, says, runs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{}")
    (tmp_path / "whole").symlink_to(runs / "none-0")
    assert fedlearn(*arguments) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1.74, 2.31), (5.0, 5.0), (0.0, 0.0), (-3e-7, 2e-6), (1e9, 3e9)])
def test_ticks_hold_the_values_between_them(low, high):
    found = ticks(low, high)
    assert found[0] <= low + 1e-9 * abs(low)
    assert found[-1] >= high - 1e-9 * abs(high)
    assert 2 <= len(found) <= 8


def test_what_attacks_found_is_kept_and_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = ["run", "spam", "--vocabulary", "hashed:64", "--rounds", "1", "--quiet", "--protection", "none", "--record"]
    assert fedlearn(*run, "--out", "run") == 0
    for _ in range(2):  # the second time in the place of the first
        assert fedlearn("attack", "labels", "--run", "run") in (0, 2)
        assert fedlearn("attack", "changed_rows", "--run", "run") in (0, 2)
    (tmp_path / "run" / "attacks.jsonl").write_text(
        json.dumps({"attack": "own", "about": "client:1", "round": 1, "summary": "<b>said it</b>"}) + "\n"
    )
    assert fedlearn("report", "run") == 0
    page = Page((tmp_path / "run" / "report.html").read_text())
    assert "What attacks found" in page.text
    assert "<b>said it</b>" in page.text  # as text
    for damaged in ("{}\n", "[" * 10**5 + "]" * 10**5):
        (tmp_path / "run" / "attacks.jsonl").write_text(damaged)
        capsys.readouterr()
        assert fedlearn("report", "run") == 2
        assert "attacks.jsonl cannot be read" in capsys.readouterr().err


class Found(Finding):
    def summary(self):
        return f"of {self.about}"


def test_findings_of_an_attack_replace_its_earlier_ones(tmp_path):
    keep(tmp_path, "a", [Found("a", "client:1", 1), Found("a", "client:2", 1)])
    keep(tmp_path, "b", [Found("b", "sum", 2)])
    keep(tmp_path, "a", [Found("a", "client:3", 1)])
    assert [(row["attack"], row["summary"]) for row in kept(tmp_path)] == [("b", "of sum"), ("a", "of client:3")]


def test_privacy_spent_is_told_where_there_is_noise(runs, tmp_path, capsys):
    noisy = [*SPAM, "--protection", "masks", "--dp", "noise=2,clip=1", "--out", str(tmp_path / "noisy")]
    assert fedlearn(*noisy) == 0
    assert fedlearn("report", str(tmp_path / "noisy"), str(runs), "--out", str(tmp_path / "page.html")) == 0
    page = Page((tmp_path / "page.html").read_text())
    spent = json.loads((tmp_path / "noisy" / "run.json").read_text())["outcome"]["privacy"]
    assert "Privacy spent" in page.text
    assert f"{spent['epsilon']:.3g}" in page.text
    assert fedlearn("inspect", str(tmp_path / "noisy")) == 0
    assert f"  privacy  epsilon {spent['epsilon']:.4g} for who sees the models, " in capsys.readouterr().out
    assert fedlearn("report", str(runs), "--out", str(tmp_path / "plain.html")) == 0
    assert "Privacy spent" not in (tmp_path / "plain.html").read_text()


def test_what_clients_find_in_a_sum_has_a_table(runs, tmp_path):
    out = tmp_path / "asked"
    assert fedlearn(*SPAM, "--protection", "masks", "--evaluate", "clients", "--out", str(out)) == 0
    assert fedlearn("report", str(out), "--out", str(tmp_path / "page.html")) == 0
    page = Page((tmp_path / "page.html").read_text())
    found = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["confusion"]
    assert "which class is taken for which" in page.text
    assert all(f"{number:,}" in page.text for line in found for number in line)
    assert "client_worst_tenth" in page.text


def test_what_a_link_in_a_run_folder_points_to_is_not_on_the_page(tmp_path, capsys):
    """A page is passed on, and the folder may be somebody else's."""
    assert fedlearn(*SPAM, "--out", str(tmp_path / "run")) == 0
    (tmp_path / "secret").write_text("what only its owner may read")
    toml = tmp_path / "run" / "run.toml"
    toml.unlink()
    toml.symlink_to(tmp_path / "secret")
    finding = {"attack": "labels", "about": "client:0", "round": 1, "summary": "what only its owner may know"}
    (tmp_path / "other").write_text(json.dumps(finding))
    (tmp_path / "run" / "attacks.jsonl").symlink_to(tmp_path / "other")
    assert fedlearn("report", str(tmp_path / "run")) == 0
    assert "what only" not in (tmp_path / "run" / "report.html").read_text()
    toml.unlink()
    toml.write_bytes(b"# \xff")
    assert fedlearn("report", str(tmp_path / "run")) == 0
