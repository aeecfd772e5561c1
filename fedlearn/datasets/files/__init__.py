"""Reading the files that people have: a front door for each kind of data, and a file for each family of formats.

`opening` makes bytes of a path, `encoding` text of bytes. `tables`, `records`, `columnar`, `mailboxes` and `mail` know
the formats, and `rows` reads a table of any of them. `columns` and `labels` find out what in them is text, label and
user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.datasets.files.reading import Reading
from fedlearn.lazy import lazy

if TYPE_CHECKING:
    from fedlearn.datasets.files.anything import read_anything
    from fedlearn.datasets.files.arrays import read_samples
    from fedlearn.datasets.files.messages import messages_of, read_messages, read_texts, texts_of
    from fedlearn.datasets.files.plays import read_script

__all__ = [
    "Reading",
    "messages_of",
    "read_anything",
    "read_messages",
    "read_samples",
    "read_script",
    "read_texts",
    "texts_of",
]

__getattr__ = lazy(
    __name__,
    {
        **dict.fromkeys(("messages_of", "read_messages", "read_texts", "texts_of"), "messages"),
        "read_anything": "anything",
        "read_samples": "arrays",
        "read_script": "plays",
    },
)
