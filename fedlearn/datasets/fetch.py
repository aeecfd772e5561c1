"""Downloading the file of a named data set: verified first, then put in place in one step."""

from __future__ import annotations

import os
import tempfile
import zlib
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen
from zipfile import BadZipFile, ZipFile

from fedlearn.datasets import DATASETS
from fedlearn.datasets.dataset import DataSet, FileSet
from fedlearn.errors import BadInput, DataError, FedlearnError

TIMEOUT = 30.0  # seconds without a byte
MAX_BYTES = 64 * 2**20  # of a download, and of the file in an archive


def fetch(name: str, folder: Path, url: str | None = None) -> Path:
    """Download the file of data set `name` into `folder` and return its path; nothing if it is there already.

    `url` replaces the data set's own https address, for a mirror. The bytes must have the pinned SHA-256;
    only then does the file appear in `folder`. Raises `BadInput` for a data set that has no file or no
    public address, `DataError` for a download of other bytes, `FedlearnError` if the network or disk fails.
    """
    wanted: DataSet = DATASETS.load(name)
    if not isinstance(wanted, FileSet):
        raise BadInput(f"data set {name} is {wanted.where()}: there is nothing to download")
    url = url or wanted.url
    if url is None:
        raise BadInput(f"data set {name} has no public download of exactly its file: make it ({wanted.origin})")
    target = folder / wanted.filename
    if target.is_file():
        wanted.verify(target.read_bytes(), str(target))
        return target
    data = _download(url)
    if wanted.member and data.startswith(b"PK"):
        data = _unpacked(data, wanted.member, url)
    wanted.verify(data, url)
    _put(data, target)
    return target


def _download(url: str) -> bytes:
    try:
        with urlopen(url, timeout=TIMEOUT) as response:
            data: bytes = response.read(MAX_BYTES + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise FedlearnError(f"cannot download {url} ({error}): check the network and try again") from None
    if len(data) > MAX_BYTES:
        raise DataError(f"{url} gives more than {MAX_BYTES} bytes: it is not the file that was pinned")
    return data


def _unpacked(archive: bytes, member: str, url: str) -> bytes:
    try:
        with ZipFile(BytesIO(archive)) as files, files.open(member) as file:
            return file.read(MAX_BYTES)
    except (BadZipFile, KeyError, EOFError, RuntimeError, zlib.error) as error:
        raise DataError(f"{url} is not a zip archive that holds {member} ({error}): try another mirror") from None


def _put(data: bytes, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            part = Path(file.name)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                part.chmod(0o644)
                part.replace(target)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise FedlearnError(f"cannot write {target} ({error.strerror}): choose another folder") from None
