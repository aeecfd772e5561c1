"""What cannot be opened is refused in one line, before it fills the memory."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import threading
import zipfile

import pytest

from fedlearn.datasets import files, load_corpus
from fedlearn.datasets.files import opening
from fedlearn.errors import DataError

CSV = b"label,text\n" + b"ham,hello there\nspam,buy now\n" * 50


def zip_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("paper", ["README", "docs/readme.txt", "LICENSE.md", "x/CITATION.cff"])
def test_what_people_write_about_data_is_none_of_them(tmp_path, paper):
    """As in the archive of the SMS Spam Collection: a table and a readme."""
    (tmp_path / "a.zip").write_bytes(zip_of({"a/SMSSpamCollection": CSV, paper: b"Hello. These are data."}))
    assert len(load_corpus(str(tmp_path / "a.zip"))) == 100
    (tmp_path / "b.zip").write_bytes(zip_of({paper: CSV}))  # alone it is what it is
    assert len(load_corpus(str(tmp_path / "b.zip"))) == 100


BOMB = gzip.compress(bytes(opening.SMALL + 1), 1, mtime=0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(CSV, mtime=0)[:-20], "is damaged or cut off"),
        (zip_of({"a.csv": CSV})[:-10], "is damaged or cut off"),
        (b"\x1f\x8b" + CSV, "is damaged or cut off"),
        (b"BZh9" + CSV, "is damaged or cut off"),
        (b"\xfd7zXZ\x00" + CSV, "is damaged or cut off"),
        (tar_of({"a.csv": CSV, "b": CSV})[:3000], "is damaged or cut off"),
        (BOMB, "gives more than 64 MiB: the limit is 1,024 MiB, and 200 times the size of a packed file"),
        (zip_of({"a": bytes(opening.SMALL // 2), "b": bytes(opening.SMALL // 2 + 1)}), "gives more than 64 MiB"),
        (gzip.compress(BOMB, mtime=0), "gives more than 64 MiB"),
        (zip_of({}), "is an archive without a file in it"),
        (zip_of({"folder/": b""}), "is an archive without a file in it"),
        (tar_of({}), "is an archive without a file in it"),
        (gzip.compress(tar_of({}), mtime=0), "is an archive without a file in it"),
        (b"ab\0" * 400, "is not text"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (
            zip_of({"train.csv": CSV, "test.csv": CSV}),
            "holds 2 files, and a table is read by itself: give one, as test.csv",
        ),
        (zip_of({"xl/workbook.xml": b"", "b": b""}), "is an Excel workbook: save it as CSV UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is a PNG image: give a file of texts or numbers"),
        (b"\xff\xd8\xff\xe0", "is a JPEG image"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"\x28\xb5\x2f\xfd..", "is packed by zstd: unpack it and give that"),
        (b"SQLite format 3\0", "is an SQLite database: export a table as CSV"),
        (bytes(range(256)) * 4, "is not text"),
        (b"\x7fELF\2", "is a program"),
    ],
)
def test_what_is_no_file_of_messages_is_refused_by_name(tmp_path, data, message):
    path = tmp_path / "mine"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        load_corpus(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_locked_archive(tmp_path):
    data = bytearray(zip_of({"a.csv": CSV}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match="is locked by a password"):
        load_corpus(str(tmp_path / "a.zip"))


def test_a_file_that_changes_while_it_is_read(tmp_path):
    path = tmp_path / "growing.csv"
    path.write_bytes(CSV * 10_000)
    stop = threading.Event()

    def touch() -> None:
        while not stop.is_set():
            os.utime(path)

    writer = threading.Thread(target=touch)
    writer.start()
    try:
        seen = any("wait until it is written, or give a copy" in opened_error(str(path)) for _ in range(500))
    finally:
        stop.set()
        writer.join()
    assert seen


def opened_error(path: str) -> str:
    try:
        opening.opened(path)
    except DataError as error:
        return str(error)
    return ""


def test_folders_without_files_devices_and_files_that_may_not_be_read(tmp_path):
    with pytest.raises(DataError, match=r"folder .* holds no file: give one with messages"):
        load_corpus(str(tmp_path))
    with pytest.raises(DataError, match="/dev/zero is a device"):
        load_corpus("/dev/zero")
    with pytest.raises(DataError, match="cannot read ~of-nobody/mine"):
        files.read_messages("~of-nobody/mine")
    with pytest.raises(DataError, match=r"'a\\x00b' is no path"):
        files.read_messages("a\0b")
    path = tmp_path / "folder" / "mine"
    path.parent.mkdir()
    path.write_bytes(CSV)
    for unreadable, place in ((path, path), (path.parent, path), (path.parent, tmp_path)):
        unreadable.chmod(0)
        if os.geteuid():
            with pytest.raises(DataError, match=f"cannot read {unreadable}"):
                load_corpus(str(place))
        unreadable.chmod(0o700)


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine: all.csv").write_bytes(CSV)
    assert len(load_corpus("~/mine: all.csv")) == 100


def test_the_hash_is_that_of_the_bytes_on_the_disk_and_of_a_folder_that_of_its_files(tmp_path):
    for folder in ("a", "b"):
        for kind in ("spam", "ham"):
            (tmp_path / folder / kind).mkdir(parents=True)
            (tmp_path / folder / kind / "1.eml").write_text(f"From: a\nSubject: {kind}\n\ntext")
    one, two = (load_corpus(str(tmp_path / folder)).sha256 for folder in ("a", "b"))
    assert one == two
    name = os.fsencode(tmp_path / "b" / "ham") + b"/\xff.eml"  # a file of any bytes for a name
    with open(name, "wb") as file:
        file.write(b"From: a\nSubject: x\n\ntext")
    assert load_corpus(str(tmp_path / "b")).sha256 != one


def test_a_tar_archive_from_before_1988_is_read(tmp_path):
    old = bytearray(tar_of({"mine.csv": CSV}))
    old[257:265] = bytes(8)  # it had no magic number, nor what comes with it
    old[265:345] = bytes(80)
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old[:512])
    (tmp_path / "old.tar").write_bytes(old)
    assert len(load_corpus(str(tmp_path / "old.tar"))) == 100
