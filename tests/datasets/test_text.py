from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.datasets import load_script
from fedlearn.datasets.text import Alphabet, Script, windows
from fedlearn.errors import BadInput, DataError

PLAY = "ANN:\nHello.\nAgain.\n\nBOB:\nHo!\n\n\nANN:\nBye: now.\n\nCAT:\n\nBOB: on one line\n\nand on.\n"


def script(text: str) -> Script:
    return Script("test", text, "", "")


def test_speeches_are_gathered_by_speaker_most_talkative_first():
    assert script(PLAY).by_speaker() == {
        "BOB": "Ho!\non one line\nand on.\n",
        "ANN": "Hello.\nAgain.\nBye: now.",
    }
    assert list(script(PLAY).by_speaker()) == ["BOB", "ANN"]


@pytest.mark.parametrize(
    "text", ["Once upon a time.\n\nThe end.", "Note: one colon.\n\nIs no.\n\nSpeaker.", "", "\n\n"]
)
def test_a_text_without_names_has_no_speakers(text):
    assert script(text).by_speaker() == {}


def test_cut_is_in_the_order_of_the_text():
    train, test = script("0123456789" * 10).cut(0.25)
    assert (len(train), len(test)) == (75, 25)
    assert train.text + test.text == "0123456789" * 10


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_outside_the_open_unit_interval_is_refused(share):
    with pytest.raises(BadInput, match="held-out share"):
        script("abc").cut(share)


@given(st.text(min_size=1))
def test_an_alphabet_reads_back_what_it_numbers(text):
    alphabet = Alphabet(text)
    ids = alphabet.encode(text)
    assert alphabet.decode(ids) == text
    assert ids.dtype == np.int64
    assert set(ids.tolist()) == set(range(len(alphabet)))
    assert Alphabet(alphabet.characters).characters == alphabet.characters == "".join(sorted(set(text)))


@pytest.mark.parametrize("character", ["!", "b", "z"])
def test_an_unknown_character_is_refused(character):
    with pytest.raises(BadInput, match=f"character '{character}' is not among the 3"):
        Alphabet("ace").encode(f"ac{character}e")
    with pytest.raises(BadInput, match="empty"):
        Alphabet("")


@given(st.text("abcd", min_size=1, max_size=60), st.integers(1, 12))
def test_windows_tile_the_text_and_point_at_the_next_character(text, length):
    alphabet = Alphabet("abcd")
    pieces = windows(text, alphabet, length)
    count = (len(text) - 1) // length
    assert pieces.features.shape == pieces.targets.shape == (count, length)
    assert alphabet.decode(pieces.features) == text[: count * length]
    assert alphabet.decode(pieces.targets) == text[1 : count * length + 1]
    assert count * length < 2 or np.shares_memory(pieces.features, pieces.targets)


def test_an_empty_text_gives_no_window_and_a_length_of_zero_is_refused():
    assert len(windows("", Alphabet("a"), 5)) == 0
    with pytest.raises(BadInput, match="characters of a window is 0"):
        windows("aaa", Alphabet("a"), 0)


def test_a_users_own_text(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes(b"\xef\xbb\xbfBOB:\r\nhi\r\n\r\nSUE:\r\nho\r\n")
    assert load_script(str(path)).by_speaker() == {"SUE": "ho\n", "BOB": "hi"}


@pytest.mark.parametrize(("data", "message"), [(b" \n", "is empty"), (b"a\nb\0", "is not text")])
def test_a_text_that_cannot_be_read_is_refused(tmp_path, data, message):
    path = tmp_path / "mine.txt"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        load_script(str(path))


def test_a_text_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"or one of sample_play, shakespeare, trask$"):
        load_script("nothing.txt")
    with pytest.raises(DataError, match="holds no file"):
        load_script(str(tmp_path))
    monkeypatch.setenv("FEDLEARN_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"tinyshakespeare\.txt .*fetch shakespeare.*a text of your own"):
        load_script("shakespeare")
    with pytest.raises(
        BadInput, match="data set enron is for ham/spam, not characters: choose sample_play, shakespeare, trask"
    ):
        load_script("enron")


def test_tiny_shakespeare(real):
    real("shakespeare")
    plays = load_script("shakespeare")
    assert (len(plays), len(Alphabet(plays.text))) == (1_115_394, 65)
    assert [len(part) for part in plays.cut(0.1)] == [1_003_854, 111_540]
    sizes = {speaker: len(said) for speaker, said in plays.by_speaker().items()}
    assert len(sizes) == 299
    assert list(sizes)[:3] == ["GLOUCESTER", "DUKE VINCENTIO", "KING RICHARD II"]
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
    blocks = [block.partition("\n") for block in re.split(r"\n\n+", plays.text) if block]
    assert len(blocks) == 7222
    spoken = Counter({name: 0 for name in sizes})
    for name, _, said in blocks:
        spoken[name.removesuffix(":")] += len(said) + 1 if said else 0
    assert {name: size - 1 for name, size in spoken.items() if size} == sizes


def test_the_text_of_the_book(real):
    real("trask")
    text = load_script("trask")
    assert (len(text), len(Alphabet(text.text)), len(text.by_speaker())) == (99_993, 62, 282)
