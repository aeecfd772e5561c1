"""Where a text can be cut without parting what a reader sees as one letter.

The rules are those of extended grapheme clusters (Unicode Standard Annex 29) by the categories of Unicode 14.0, without
those for letters that go with the next one, which no common text has. A library would cut by the Unicode of its
release, and which characters a model is trained on must not depend on that.
"""

from __future__ import annotations

import re
from functools import cache

from fedlearn.datasets import unicode14

JOINER = "\u200d"
# Enclosing marks, non-joiner and joiner, vowels and finals of Korean syllables, skin tones, tags of flags.
BESIDE_MARKS = (
    "\u0488\u0489\u1abe\u20dd-\u20e0\u20e2-\u20e4\ua670-\ua672\u200c\u200d\u1160-\u11ff\uff9e\uff9f\U0001f3fb-\U0001f3ff"
    "\U000e0020-\U000e007f"
)
FLAGS = "".join(map(chr, range(0x1F1E6, 0x1F200)))  # two of these are one flag


def beginning(text: str, most: int) -> str:
    """The first letters of `text`, in at most so many characters; of one longer letter its first characters."""
    return text[: seam(text, most) or most]


def seam(text: str, at: int) -> int:
    """The last place up to `at` where `text` can be cut; 0 where one letter reaches further."""
    return next((place for place in range(min(at, len(text)), 0, -1) if not _parts_a_letter(text, place)), 0)


def _parts_a_letter(text: str, at: int) -> bool:
    if at == len(text):
        return False
    before, after = text[at - 1], text[at]
    if after.isascii() and before != JOINER:
        return before + after == "\r\n"
    return (
        before == JOINER
        or _going_with_the_last().match(after) is not None
        or ("\ud800" <= before < "\udc00" <= after < "\ue000")
        or (after in FLAGS and (at - len(text[:at].rstrip(FLAGS))) % 2 == 1)
    )


@cache
def _going_with_the_last() -> re.Pattern[str]:
    marks = "".join(f"{chr(first)}-{chr(last)}" for first, last in unicode14.ranges()[unicode14.MARK])
    return re.compile(f"[{marks}{BESIDE_MARKS}]")
