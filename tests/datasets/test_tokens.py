from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.datasets.tokens import tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("my computer password is pizza", ["my", "computer", "password", "is", "pizza"]),
        ("WIN £1,000 now!!", ["win", "£", "1", "000", "now", "!", "!"]),
        ("Don't reply: it\u2019s a 2nd 'test'", ["don't", "reply", "it\u2019s", "a", "2", "nd", "test"]),
        ("50% off_today \x91quoted\x92", ["50", "%", "off", "today", "quoted"]),
        ("\uff26\uff32\uff25\uff25 \ufb01nance", ["free", "finance"]),
        ("Größe ДОМ 東京", ["größe", "дом", "東京"]),
        ("... --- \t\n", []),
        ("", []),
    ],
)
def test_known_texts(text, tokens):
    assert tokenize(text) == tokens


@given(st.text())
def test_any_text_gives_clean_tokens_that_stand_when_read_again(text):
    tokens = tokenize(text)
    assert all(tokens)
    assert not any(character.isspace() for token in tokens for character in token)
    assert tokenize(" ".join(tokens)) == tokens


@given(st.lists(st.text()))
def test_white_space_parts_tokens(texts):
    assert tokenize(" \n ".join(texts)) == [token for text in texts for token in tokenize(text)]
