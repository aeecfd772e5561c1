from __future__ import annotations

import json
import lzma
import os
from pathlib import Path

import pytest

from fedlearn.datasets import Reading, load_script
from fedlearn.datasets.text import Script
from fedlearn.errors import BadInput, DataError

FORMATS = Path(os.environ.get("FEDLEARN_DATA", "/nowhere")) / "formats"
formats = pytest.mark.skipif(not FORMATS.is_dir(), reason="needs the folder formats under FEDLEARN_DATA")
SPOKEN = {"OTTO": "Is it late?\nYes.", "DAME HILDA": "It is.\n[_Exit._]"}


@pytest.mark.parametrize(
    "play",
    [
        "OTTO:\nIs it late?\n\nDAME HILDA:\nIt is.\n[_Exit._]\n\nOTTO: Yes.",
        "THE PLAY\n\nACT I\n\nSCENE I. A yard.\n\n[_Enter both._]\n\nOTTO.\nIs it late?\n\n"
        "DAME HILDA.\nIt is.\n[_Exit._]\n\nOTTO. Yes.",
        "ACT I.\n\nOTTO\nIs it late?\n\nDAME HILDA\nIt is.\n[_Exit._]\n\nOTTO\nYes.",
    ],
)
def test_speakers_are_found_in_every_layout(play):
    assert Script("play", play, "", "").by_speaker() == SPOKEN


def test_names_are_shortened_in_old_prints():
    play = "  Ham. To be, or not.\n\n  Oph. Good my lord.\n\n  Ham. I humbly thank you."
    assert Script("play", play, "", "").by_speaker() == {
        "Ham": "To be, or not.\nI humbly thank you.",
        "Oph": "Good my lord.",
    }


def test_blank_lines_may_hold_blanks():
    for blank in (" ", "\t\u00a0", ""):
        script = Script("play", f"A:\nhello\n{blank}\nB:\nhi\n", "", "")
        assert script.by_speaker() == {"A": "hello", "B": "hi\n"}


def test_line_ends_of_every_system_and_packed(tmp_path):
    path = tmp_path / "play.xz"
    path.write_bytes(lzma.compress(b"\xef\xbb\xbfA:\rhello\r\rB:\rhi\r"))
    assert load_script(str(path)).by_speaker() == {"A": "hello", "B": "hi\n"}


def test_a_text_in_another_encoding(tmp_path):
    path = tmp_path / "play.txt"
    path.write_bytes("Привет".encode("koi8-r"))
    assert load_script(str(path)).notes == (
        "read as cp1252, a guess: give Reading(encoding=NAME) if letters are wrong",
    )
    assert load_script(str(path), Reading(encoding="koi8-r")).text == "Привет"
    with pytest.raises(DataError, match="line 1: byte 0xf0 is not utf-8: give another one, or leave it out to have it"):
        load_script(str(path), Reading(encoding="utf8"))
    with pytest.raises(BadInput, match=r"Reading.encoding=klingon. is unknown"):
        load_script(str(path), Reading(encoding="klingon"))
    with pytest.raises(BadInput, match="read as one text"):
        load_script(str(path), Reading(text_column="text"))


def test_gutenberg_head_and_tail_are_left_out(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text(
        "Title: X\n\n*** START OF THIS PROJECT GUTENBERG EBOOK\nA LONG TITLE ***\n\n\nOnce.\n\n"
        "*** END OF THE PROJECT GUTENBERG EBOOK X ***\nlicence\n"
    )
    script = load_script(str(path))
    assert script.text == "Once.\n"
    assert script.notes == ("Project Gutenberg's head and tail left out",)


def test_what_users_of_leaf_say(tmp_path):
    said = {"PLAY_ACT:ONE": "to be or not to be", "B": "ay, there's the rub"}
    data = {
        user: {"x": [text[i : i + 5] for i in range(len(text) - 5)], "y": list(text[5:])} for user, text in said.items()
    }
    path = tmp_path / "all_data.json"
    path.write_text(json.dumps({"users": list(said), "num_samples": [13, 14], "user_data": data}))
    assert load_script(str(path)).by_speaker() == {"B": said["B"] + "\n", "PLAY_ACT ONE": said["PLAY_ACT:ONE"]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{}", "is JSON, and not LEAF's"),
        ('{"user_data": {"a": {"x": [1], "y": [1]}}}', "are no texts"),
        ('{"user_data": {"a": {"x": [1], "y": []}}}', "no lists x and y of one length"),
        ('{"user_data": {}}', "holds no example"),
        ('{"user_data": ', "is not JSON"),
    ],
)
def test_other_json_is_refused(tmp_path, data, message):
    path = tmp_path / "data.json"
    path.write_text(data)
    with pytest.raises(DataError, match=message):
        load_script(str(path))


@formats
def test_a_play_and_a_book_of_the_collection():
    play = load_script(str(FORMATS / "15_play_name_dot.txt"))
    speakers = play.by_speaker()
    assert len(play) == 24_995
    assert set(speakers) == {"ROSAMUND", "DAME HILDA", "THE MILLER", "OTTO", "FIRST GOOSE"}
    book = load_script(str(FORMATS / "16_gutenberg_bom_crlf.txt"))
    assert book.by_speaker() == {}
    assert book.text.startswith("THE SALT LADDER\n")
    assert "PROJECT GUTENBERG" not in book.text
    assert "\r" not in book.text
