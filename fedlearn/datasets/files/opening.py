"""From a path to bytes: files, folders, standard input, compressed files and archives, within limits."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO, Any, TypeVar

from fedlearn.datasets.files.reading import STANDARD_INPUT
from fedlearn.disk import at_home
from fedlearn.errors import DataError
from fedlearn.wording import many

LARGEST = 2**30  # bytes that are read, unpacked
SWELLING, SMALL = 200, 2**26  # a packed file may give so many times its own bytes, or 64 MiB where that is more
MOST_MEMBERS = 1_000_000
LOOKED_AT = 10_240  # bytes, as tar pads an archive of nothing
LAYERS = 3  # archives in archives
PACKED: dict[bytes, Callable[[BytesIO], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
DAMAGED = (
    EOFError,
    OSError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    RuntimeError,
    ValueError,
    LookupError,
    struct.error,
)
PAPER = re.compile(r"(read[-_ ]?me|licen[cs]e|copying|notice|citation)(\.\w{1,4})?", re.IGNORECASE)  # beside data
# What files of other programs begin with, and what to do about them.
FOREIGN = {
    b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"GIF8": "a GIF image", b"%PDF": "a PDF document",
    b"\x28\xb5\x2f\xfd": "packed by zstd: unpack it", b"7z\xbc\xaf": "packed by 7z: unpack it",
    b"Rar!": "packed by RAR: unpack it", b"SQLite format 3": "an SQLite database: export a table as CSV",
    b"\xd0\xcf\x11\xe0": "a document of an old Microsoft program: save it as CSV UTF-8", b"\x7fELF": "a program",
    b"\x80\x04\x95": "a pickle, which is never loaded: save it as CSV", b"\x89HDF": "an HDF5 file: save it as CSV",
    b"!BDN": "an Outlook .pst file: export it as mbox",
}  # fmt: skip
# Members of zip files that are one document.
DOCUMENTS = {"xl/workbook.xml": "an Excel workbook: save it as CSV UTF-8", "word/document.xml": "a Word document",
             "content.xml": "an OpenDocument file: save it as CSV UTF-8"}  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """The content of a path, unpacked: the bytes of one file in `data`, or the files of a tree in `members`.

    members: (path inside the tree with /, bytes), in order of the paths. sha256: of the bytes on the disk; of a folder
    that of its files' paths and hashes.
    """

    name: str
    sha256: str
    data: bytes = b""
    members: tuple[tuple[str, bytes], ...] | None = None


def opened(path: str) -> Source:
    """Read and unpack what stands at `path`; raises `DataError` naming what is wrong with it."""
    if path == STANDARD_INPUT:
        stream = getattr(sys.stdin, "buffer", None)
        if stream is None:  # in a notebook, or a service
            raise DataError("there is no standard input here: give a file")
        return unpacked("standard input", _limited(stream, "standard input", LARGEST))
    if "\0" in path:
        raise DataError(f"{path!r} is no path: give a file that can be read")
    where = at_home(path)
    try:
        return _tree(where) if where.is_dir() else unpacked(str(where), _bytes_of(where))
    except OSError as error:
        raise DataError(f"cannot read {error.filename or where} ({error.strerror}): give what can be read") from None


def unpacked(name: str, data: bytes) -> Source:
    """The bytes of a file that was read, unpacked as often as they are packed."""
    source = Source(name, sha256(data).hexdigest(), data)
    most = min(LARGEST, max(SMALL, SWELLING * len(data)))
    try:
        for _ in range(LAYERS):
            source, before = _layer(source, most), source
            if source is before:
                break
    except DataError:  # it is a ValueError too
        raise
    except DAMAGED as error:
        raise DataError(f"{name} is damaged or cut off ({str(error)[:80]}): get it once more") from None
    if source.members is None:
        foreign = next((what for start, what in FOREIGN.items() if source.data.startswith(start)), None)
        if foreign:
            raise DataError(f"{name} is {foreign.partition(':')[0]}{_remedy(foreign)}")
    return source


def _remedy(foreign: str) -> str:
    what = foreign.partition(": ")[2]
    return f": {what} and give that" if what else ": give a file of texts or numbers"


def _layer(source: Source, most: int) -> Source:
    data = source.data
    if source.members is not None:
        return source
    for start, opener in PACKED.items():
        if data.startswith(start):
            with opener(BytesIO(data)) as file:
                return replace(source, data=_limited(file, source.name, most))
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _of_members(source, _zip_members(source, most))
    if _is_tar(data):
        return _of_members(source, _tar_members(source, most))
    return source


def _is_tar(data: bytes) -> bool:
    """True where bytes begin with a header of tar, also an old one, or are an empty archive, which is zeros."""
    block = data[: tarfile.BLOCKSIZE]
    if not any(block):
        return len(data) >= 2 * tarfile.BLOCKSIZE and not any(data[:LOOKED_AT])
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return data[257:262] == b"ustar"  # damaged
    return True


def _of_members(source: Source, members: list[tuple[str, bytes]]) -> Source:
    """The files of an archive; a single one stands for itself."""
    kept = _worth_reading(path for path, _ in members)
    members = [(path, data) for path, data in members if path in kept]
    if not members:
        raise DataError(f"{source.name} is an archive without a file in it: give one with messages or texts")
    if len(members) == 1:
        return replace(source, data=members[0][1])
    return replace(source, data=b"", members=tuple(sorted(members)))


def _zip_members(source: Source, most: int) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(BytesIO(source.data)) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        document = next((DOCUMENTS[info.filename] for info in files if info.filename in DOCUMENTS), None)
        if document:
            raise DataError(f"{source.name} is {document.partition(':')[0]}{_remedy(document)}")
        if any(info.flag_bits & 1 for info in files):
            raise DataError(f"{source.name} is locked by a password: unpack it and give the folder")
        members, left = [], most
        for info in _counted(files, source.name):
            with archive.open(info) as file:
                members.append((info.filename, _limited(file, source.name, left, most)))
            left -= len(members[-1][1])
        return members


def _tar_members(source: Source, most: int) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=BytesIO(source.data), mode="r:") as archive:
        members, left = [], most
        for info in _counted([info for info in archive if info.isfile()], source.name):
            file = archive.extractfile(info)
            assert file is not None
            members.append((info.name, _limited(file, source.name, left, most)))
            left -= len(members[-1][1])
        return members


def _counted(files: list[T], name: str) -> list[T]:
    """The files; raises `DataError` for more than are read."""
    if len(files) > MOST_MEMBERS:
        raise DataError(f"{name} holds {many(len(files), 'file')}: the limit is {MOST_MEMBERS:,}, give a part of them")
    return files


def _limited(file: IO[bytes], name: str, left: int, most: int | None = None, size: int = LARGEST) -> bytes:
    """All bytes of `file`; raises `DataError` if there are more than `left` of the `most` allowed.

    size: how many there should be. Reading makes room for as many as are asked for.
    """
    data = file.read(min(left, size) + 1)
    if len(data) > left:
        raise DataError(
            f"{name} gives more than {(most or left) / 2**20:,.0f} MiB: the limit is {LARGEST // 2**20:,} MiB, and "
            f"{SWELLING} times the size of a packed file: give a part of it"
        )
    return data


def _bytes_of(path: Path) -> bytes:
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        if not (stat.S_ISREG(before.st_mode) or stat.S_ISFIFO(before.st_mode)):
            raise DataError(f"{path} is a device, not a file: give a file")
        size = before.st_size if stat.S_ISREG(before.st_mode) else LARGEST
        data = _limited(file, str(path), LARGEST, size=size)
        after = os.fstat(file.fileno())
    changed = (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size)
    if stat.S_ISREG(before.st_mode) and (changed or len(data) != after.st_size):
        raise DataError(f"{path} changed while it was read: wait until it is written, or give a copy")
    return data


def _tree(folder: Path) -> Source:
    """The files of a folder. Links to other folders are not followed; a folder that cannot be read is an error."""

    def refuse(error: OSError) -> None:
        raise error

    paths = (Path(parent, name) for parent, _, names in os.walk(folder, onerror=refuse) for name in names)
    files = {path.relative_to(folder).as_posix(): path for path in paths if path.is_file()}
    members, left = [], LARGEST
    for inside in _counted(sorted(_worth_reading(files)), str(folder)):
        data = _bytes_of(files[inside])
        left -= len(data)
        if left < 0:
            raise DataError(f"{folder} holds more than {LARGEST // 2**20:,} MiB, the limit: give a part of it")
        members.append((inside, data))
    if not members:
        raise DataError(f"folder {folder} holds no file: give one with messages")
    listed = "".join(f"{sha256(data).hexdigest()}  {inside}\n" for inside, data in members)
    listing = listed.encode("utf-8", "surrogateescape")  # a name may be any bytes
    return Source(str(folder), sha256(listing).hexdigest(), members=tuple(members))


def _worth_reading(paths: Iterable[str]) -> set[str]:
    """The files that may hold data. Beside other files, a readme or a license is none of them."""
    kept = {path for path in paths if not _is_litter(path)}
    return {path for path in kept if not PAPER.fullmatch(path.rpartition("/")[2])} or kept


def _is_litter(path: str) -> bool:
    """True for files that systems and mail servers leave behind, which hold no message."""
    parts = path.split("/")
    return (
        "__MACOSX" in parts
        or parts[-1].startswith((".", "dovecot"))
        or parts[-1] in ("Thumbs.db", "desktop.ini", "cmds", "maildirfolder", "subscriptions", "courierimapuiddb")
        or parts[-1].endswith((".msf", "popState.dat", "msgFilterRules.dat"))  # Thunderbird's
        or (len(parts) > 1 and parts[-2] == "tmp")
    )
