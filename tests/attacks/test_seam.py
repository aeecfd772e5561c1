"""An attack needs one party's transcript and nothing else: it runs where nothing else can be reached."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool
from fedlearn.attacks import ATTACKS
from fedlearn.attacks.base import Finding, NotReadable
from fedlearn.attacks.each import EachVector
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.datasets.bags import encode_texts
from fedlearn.datasets.examples import Arrays
from fedlearn.datasets.vocabulary import ExplicitVocabulary
from fedlearn.models.chars import CharLSTM
from fedlearn.models.mlp import MLP
from fedlearn.models.spam import SpamClassifier
from fedlearn.protocol import AGGREGATOR, PartyView, Transcript
from fedlearn.protocol.transcript import extract
from fedlearn.secure import Masks
from fedlearn.strategies import FedAvg
from tests.scenarios.command import fedlearn
from tests.toys import toy_codec, toy_paillier, toy_plain, toy_strategy

ROOT = Path(__file__).parents[2]
TEXTS = ["my computer password is pizza", "meet the dog", "the dog is a pizza"]
WORDS = ExplicitVocabulary(sorted(set(" ".join(TEXTS).split()) | {"tomorrow", "we"}))

ALONE = """
import json, sys
from pathlib import Path
from fedlearn.attacks import ATTACKS
from fedlearn.protocol import PartyView
findings = ATTACKS.load("changed_rows")().run(PartyView.load(Path("."), int(sys.argv[1])))
foreign = [name for name in sys.modules if name.split(".")[0] in ("clients", "aggregator", "scenarios", "tests")]
print(json.dumps({"findings": [f.to_dict() for f in findings], "foreign": foreign}))
"""


def recorded(folder: Path, protection) -> Path:
    clients = [Client(f"c{i}", encode_texts([text], np.array([i % 2]), WORDS)) for i, text in enumerate(TEXTS)]
    model = SpamClassifier(len(WORDS), 4, rng=np.random.default_rng(0))
    run = RunFolder(folder, {}, {}, record=True)
    Aggregator(model, toy_strategy(), protection, vocabulary=WORDS.to_dict(), folder=run).fit(InlinePool(clients), 1)
    return folder


def attack_alone(folder: Path, party: int) -> dict:
    """Run the attack in a process whose only folder is one that holds the party's transcript."""
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}){ALONE}"
    done = subprocess.run(
        [sys.executable, "-c", script, str(party)], cwd=folder, capture_output=True, text=True, check=True, env={}
    )
    return json.loads(done.stdout)


def test_an_attack_runs_on_an_extracted_transcript_alone(tmp_path):
    extract(recorded(tmp_path / "run", toy_plain()), AGGREGATOR, tmp_path / "alone")
    assert sorted(path.name for path in (tmp_path / "alone").iterdir()) == ["payloads.bin", "transcript.jsonl"]
    answer = attack_alone(tmp_path / "alone", AGGREGATOR)
    found = {finding["about"]: set(finding["words"]) for finding in answer["findings"]}
    assert found == {f"client:{i}": set(text.split()) for i, text in enumerate(TEXTS)}
    assert answer["foreign"] == []


def test_what_a_client_is_handed_holds_no_update_but_its_own(tmp_path):
    run = recorded(tmp_path / "run", toy_plain())
    extract(run, 1, tmp_path / "alone")
    answer = attack_alone(tmp_path / "alone", 1)
    assert [finding["about"] for finding in answer["findings"]] == ["client:1"]
    whole, part = ((folder / "payloads.bin").read_bytes() for folder in (run, tmp_path / "alone"))
    assert len(part) < len(whole)


def test_an_extracted_view_is_the_view(tmp_path):
    run = recorded(tmp_path / "run", toy_paillier())
    extract(run, AGGREGATOR, tmp_path / "alone")
    view, again = PartyView.load(run), PartyView.load(tmp_path / "alone")
    assert [m.to_bytes() for m in again.messages] == [m.to_bytes() for m in view.messages]


@pytest.mark.parametrize("protection", [toy_paillier(), Masks(toy_codec())], ids=["paillier", "masks"])
def test_a_sum_is_read_from_the_aggregators_messages_and_no_others(tmp_path, protection):
    run = recorded(tmp_path / "run", protection)
    (finding,) = ATTACKS.load("changed_rows")().run(PartyView.load(run))
    assert finding.about == "sum"
    assert set(finding.words) == set(" ".join(TEXTS).split())
    with pytest.raises(NotReadable, match="encrypted"):
        ATTACKS.load("changed_rows")().run(PartyView.load(run, 0))


class Taste(Finding):
    def summary(self) -> str:
        return "to my taste"


class Picky(EachVector[Finding]):
    """Reads one client's update, and refuses all others."""

    def __init__(self, about: str):
        self.about = about

    def read(self, observed: Observed, vector: Vector) -> Finding:
        if vector.about != self.about:
            raise NotReadable(f"{vector.about} is not to my taste")
        return Taste("picky", vector.about, vector.round)


def test_a_vector_that_tells_nothing_does_not_silence_the_others(tmp_path, caplog):
    view = PartyView.load(recorded(tmp_path / "run", toy_plain()))
    (finding,) = Picky("client:1").run(view)
    assert str(finding) == "round 1, client:1: to my taste"
    assert "2 of 3 vectors left out" in caplog.text
    with pytest.raises(NotReadable, match="not to my taste"):
        Picky("client:9").run(view)


READS = {
    "counted_words": set(),  # of answers, not of updates
    "changed_rows": {"words", "characters"},
    "unmix": {"words"},
    "senders": set(),  # of plain updates the sender is known
    "membership": {"words"},
    "span": {"characters"},
    "peel": {"characters"},
    "linear": {"numbers"},
    "labels": {"numbers", "words"},
    "matching": {"numbers"},
    "matching_text": {"characters"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A recorded run of each kind of model, in the plain, and one under encryption that ended before the opening."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    ids = rng.permutation(12)[None, :7]
    kinds = {
        "characters": (CharLSTM(12, 16, rng=rng), Arrays(ids[:, :-1], ids[:, 1:]), {"characters": "abcdefghijkl"}),
        "numbers": (MLP((4, 6, 3), rng=rng), Arrays(rng.random((1, 4), np.float32), np.array([2])), {}),
    }
    for kind, (model, data, vocabulary) in kinds.items():
        run = RunFolder(folder / kind, {}, {}, record=True)
        strategy = FedAvg(batch_size=1, lr=0.5, max_weight=1)
        aggregator = Aggregator(model, strategy, toy_plain(), vocabulary=vocabulary, folder=run)
        aggregator.fit(InlinePool([Client("c", data)]), 1)
    recorded(folder / "words", toy_plain())
    rows = recorded(folder / "unopened", toy_paillier()) / "transcript.jsonl"
    kept = [row for row in rows.read_text().splitlines() if json.loads(row)["type"] != "Opened"]
    rows.write_text("\n".join(kept) + "\n")
    return {kind: folder / kind for kind in (*kinds, "words", "unopened")}


@pytest.mark.parametrize("name", list(ATTACKS.entries))
def test_the_command_reads_what_an_attack_is_for_and_politely_refuses_the_rest(runs, name, capsys):
    for kind, folder in runs.items():
        status = fedlearn("attack", name, "--run", str(folder))
        said = capsys.readouterr()
        if kind in READS[name]:
            assert (status, bool(said.out)) == (0, True), kind
            assert "client:0" in said.out
        else:
            assert (status, said.out) == (2, ""), kind
            assert said.err.startswith("fedlearn: ")
            assert len(said.err.splitlines()) == 1
    assert "encrypted" in said.err  # of the last, which holds nothing else


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("encrypted") / "run", toy_paillier())


@pytest.mark.parametrize("name", list(ATTACKS.entries))
def test_every_attack_refuses_politely_what_it_cannot_read(encrypted, tmp_path, name):
    attack = ATTACKS.load(name)()
    assert attack.name == name
    with pytest.raises(NotReadable):
        attack.run(PartyView.load(encrypted, 1))
    with suppress(NotReadable):  # on the sum of a model that most attacks are not for: findings, or a refusal
        assert all(str(finding) for finding in attack.run(PartyView.load(encrypted)))
    Transcript(tmp_path, record=True).close()
    with pytest.raises(NotReadable, match="plan"):
        attack.run(PartyView.load(tmp_path))
