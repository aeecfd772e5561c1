"""A named data set: facts to list, and the way to load the data.

A data set is the same for everybody: a file with a pinned SHA-256, or made here from a fixed seed.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from fedlearn.errors import DataError

FOLDER_VARIABLE = "FEDLEARN_DATA"
MESSAGES, CHARACTERS, CLASSES = "ham/spam", "characters", "classes"


@dataclass(frozen=True)
class DataSet(ABC):
    """A data set by name: `task` says what it is for, `clients` who its natural clients are.

    A data set for a new task stands in a file of its own: it names the task by a word, loads data of a type of its
    own, and that type may say by `facts()` what `fedlearn data show` prints (a text by name), by `users` whose each
    example is. `instead` says what to use where the data are not at hand.
    """

    name: str
    task: str
    records: str
    clients: str
    licence: str
    origin: str
    private: bool = False
    """Real people's words: never printed."""
    instead: str = ""

    @abstractmethod
    def load(self) -> Any:
        """The data, in the type that belongs to `task`: `Corpus`, `Script` or `Samples`."""

    @abstractmethod
    def where(self) -> str:
        """Where the data are, in a few words, or that they are not there."""


@dataclass(frozen=True, kw_only=True)
class GeneratedSet(DataSet):
    """A data set that needs no file."""

    generate: Callable[[], Any]

    def load(self) -> Any:
        return self.generate()

    def where(self) -> str:
        return "built in"


@dataclass(frozen=True, kw_only=True)
class FileSet(DataSet):
    """A data set in one pinned file, looked for in the folder that FEDLEARN_DATA names.

    `url` is a public https address of the file, or of a zip archive that holds it as `member`.
    `parse(data, name, origin)` turns the verified bytes into the typed data.
    """

    filename: str
    sha256: str
    parse: Callable[[bytes, str, str], Any]
    url: str | None = None
    member: str | None = None

    def load(self) -> Any:
        return self.parse(self.read(), self.name, self.origin)

    def where(self) -> str:
        path = self.path()
        return str(path) if os.path.isfile(path) else f"not found: {path}"

    def path(self) -> Path:
        """The path at which the file is expected; without FEDLEARN_DATA it starts with $FEDLEARN_DATA."""
        return Path(os.environ.get(FOLDER_VARIABLE) or f"${FOLDER_VARIABLE}") / self.filename

    def read(self) -> bytes:
        """The bytes of the file. Raises `DataError` if it is missing or not the pinned one."""
        folder = os.environ.get(FOLDER_VARIABLE)
        if not folder:
            raise self._missing(f"{FOLDER_VARIABLE} is not set")
        try:
            data = self.path().read_bytes()
        except OSError as error:
            raise self._missing(f"looked in {FOLDER_VARIABLE}={folder}: {error.strerror}") from None
        self.verify(data, str(self.path()))
        return data

    def verify(self, data: bytes, where: str) -> None:
        """Raise `DataError` unless `data` has the pinned SHA-256."""
        found = sha256(data).hexdigest()
        if found != self.sha256:
            raise DataError(
                f"{where} is not the {self.name} file: SHA-256 {found}, expected {self.sha256}: "
                "replace it, or give your own file by its path"
            )

    def _missing(self, looked: str) -> DataError:
        if self.url:
            remedy = f"run `fedlearn data fetch {self.name}`"
        else:
            remedy = f"make it (no public download of exactly this file; {self.origin})"
        return DataError(
            f"data set {self.name} needs the file {self.filename} ({looked}): set {FOLDER_VARIABLE} to the "
            f"folder that holds it, {remedy}, or {self.instead or 'choose other data'}"
        )


def text_in(data: bytes, name: str, wanted: str) -> str:
    """The UTF-8 text of a file, without a byte order mark; `DataError` if it is something else or blank."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8"
        ) from None
    if not text.strip():
        raise DataError(f"{name} is empty: give {wanted}")
    return text
