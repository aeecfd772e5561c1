"""Texts are cut between letters, as a reader sees them."""

from __future__ import annotations

import sys
import unicodedata
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.datasets.letters import beginning, seam
from fedlearn.datasets.text import Script

# Each is one letter of several characters, or of one.
LETTERS = (
    "a", "\n", "\r\n", "e\u0301", "e\u0301\u0323\u0308", "\u0915\u093f", "\u0915\u094d\u200d\u0937",
    "\u2764\ufe0f", "\u845b\U000e0100", "1\ufe0f\u20e3", "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f469\U0001f3fe\u200d\u2764\ufe0f\u200d\U0001f468",
    "\u1112\u1161\u11ab", "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "\ud83d\ude00", "\ud83d", "\u4e2d",
)  # fmt: skip


@given(st.lists(st.sampled_from(LETTERS)), st.floats(0.01, 0.99))
def test_a_script_is_cut_at_the_last_letter_that_ends_before_the_share(letters, share):
    text = "".join(letters)
    ends = [0, *accumulate(map(len, letters))]
    train, test = Script("s", text, "", "").cut(share)
    assert train.text + test.text == text
    assert len(train) == max(end for end in ends if end <= int(len(text) * (1.0 - share)))


@given(st.text(), st.integers(0, 60))
def test_a_beginning_is_a_seam_or_less_than_one_letter(text, most):
    start = beginning(text, most)
    assert text.startswith(start)
    assert len(start) == (seam(text, most) or min(most, len(text)))


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="the marks are those of Unicode 14")
def test_no_mark_of_unicode_begins_a_part():
    marks = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "M"]
    assert [mark for mark in marks if seam(f"ab{mark}", 2) != 1] == []


@pytest.mark.parametrize("text", ["abc\u0301def", "\u0301\u0301", "\U0001f1e9\U0001f1ea\U0001f1eb"])
def test_what_needs_no_cut_stays_whole(text):
    assert beginning(text, len(text)) == beginning(text, 99) == text
