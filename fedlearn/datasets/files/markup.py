"""From HTML to the text that a reader sees."""

from __future__ import annotations

import re
from html.parser import HTMLParser

UNSEEN = {"script", "style", "template", "title", "head"}
BLOCKS = {
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "footer", "form", "h1",
    "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "td", "th",
    "tr", "ul",
}  # fmt: skip
EMPTY = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
ENDING = {"dd", "dt", "li", "option", "p", "td", "th", "tr"}  # elements that end where the next of their name begins
HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]*[1-9])", re.IGNORECASE)
LONGEST = 2**20  # characters of markup that are read
DECLARATION = re.compile(r"<[!?][^<>]{0,4000}>")
# What opens a tag that is never closed, which is a character: on many of these the parser is as slow as on comments.
NO_TAG = re.compile(r"<(?![/a-zA-Z][^<>]{0,4000}>)")


def text_of(markup: str) -> str:
    """The text, a line a block; entities are characters, white space is single."""
    reader = _Reader()
    reader.feed(NO_TAG.sub("&lt;", DECLARATION.sub("", _without_comments(markup[:LONGEST]))))
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.parts).split("\n"))
    return "\n".join(line for line in lines if line)


def _without_comments(markup: str) -> str:
    """Markup without its comments.

    On many comments that are never closed, Python's parser takes a time that grows with the square of their number,
    which spam could use to hold a reader up.
    """
    first, *others = markup.split("<!--")
    return first + "".join(piece.partition("-->")[2] for piece in others)


def _is_hidden(attributes: list[tuple[str, str | None]]) -> bool:
    """True where an element says that it is not shown, as spam does with words that are meant for filters."""
    return any(name == "hidden" or (name == "style" and HIDING.search(value or "")) for name, value in attributes)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.unseen = ""  # the outermost open element whose text nobody sees
        self.inside = 0  # open elements of its name, itself among them

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body" or (tag == self.unseen and tag in ENDING):  # what was never closed ends here
            self.unseen = ""
        if self.unseen:
            self.inside += tag == self.unseen and tag not in UNSEEN
        elif tag in UNSEEN or (tag not in EMPTY and _is_hidden(attrs)):
            self.unseen, self.inside = tag, 1
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == self.unseen:
            self.inside -= 1
            if not self.inside:
                self.unseen = ""
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.parts.append(re.sub(r"\s+", " ", data))
