"""From a message to words."""

from __future__ import annotations

import re
import unicodedata

# A word of letters (an apostrophe inside belongs to it), a number, or one of the signs that tell spam.
TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*|\d+|[$£€¥%!]")


def tokenize(text: str) -> list[str]:
    """The tokens of `text` in order: words, numbers, currency signs, % and !, in lower case.

    The text is brought to Unicode form NFKC first (full-width letters and ligatures become plain ones), so
    that letters dressed up to slip through a filter give the word they show. `2nd` gives `2`, `nd`;
    `don't` is one word; everything else (white space, other punctuation, control characters) parts tokens.
    """
    return TOKEN.findall(unicodedata.normalize("NFKC", text).lower())
