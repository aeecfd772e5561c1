from __future__ import annotations

import socket
import threading
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from fedlearn.datasets import DATASETS
from fedlearn.datasets.dataset import MESSAGES, FileSet
from fedlearn.datasets.fetch import fetch
from fedlearn.datasets.messages import parse_messages
from fedlearn.errors import BadInput, DataError, FedlearnError
from fedlearn.registry import Entry

DATA = b"ham\thello\nspam\twin\n"
TINY = FileSet(
    name="tiny",
    task=MESSAGES,
    records="2",
    clients="none",
    licence="none",
    origin="this test",
    filename="tiny.tsv",
    sha256=sha256(DATA).hexdigest(),
    parse=parse_messages,
    member="inside",
)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder, and the address under which a server on the loopback interface shows it."""
    monkeypatch.setenv("no_proxy", "*")  # where downloads go through a proxy, these must not
    monkeypatch.setitem(DATASETS.entries, "tiny", Entry(f"{__name__}:TINY", ""))
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_is_verified_and_put_in_place(site, tmp_path):
    (site[0] / "tiny.tsv").write_bytes(DATA)
    path = fetch("tiny", tmp_path / "new" / "data", f"{site[1]}/tiny.tsv")
    assert path == tmp_path / "new" / "data" / "tiny.tsv"
    assert path.read_bytes() == DATA
    assert list(path.parent.iterdir()) == [path]


def test_a_file_inside_a_zip_archive(site, tmp_path):
    with ZipFile(site[0] / "tiny.zip", "w") as archive:
        archive.writestr("inside", DATA)
    assert fetch("tiny", tmp_path, f"{site[1]}/tiny.zip").read_bytes() == DATA


def test_a_file_that_is_there_is_not_downloaded_again(site, tmp_path):
    (tmp_path / "tiny.tsv").write_bytes(DATA)
    assert fetch("tiny", tmp_path, f"{site[1]}/absent").read_bytes() == DATA


def test_another_file_of_the_name_is_neither_taken_nor_overwritten(site, tmp_path):
    (tmp_path / "tiny.tsv").write_bytes(b"mine")
    with pytest.raises(DataError, match="replace it"):
        fetch("tiny", tmp_path, f"{site[1]}/absent")
    assert (tmp_path / "tiny.tsv").read_bytes() == b"mine"


@pytest.mark.parametrize("served", [b"other bytes", b"", b"PK damaged archive"])
def test_other_bytes_leave_nothing_behind(site, tmp_path, served):
    (site[0] / "tiny.tsv").write_bytes(served)
    with pytest.raises(DataError):
        fetch("tiny", tmp_path / "data", f"{site[1]}/tiny.tsv")
    assert not (tmp_path / "data").exists()


def test_an_archive_without_the_file(site, tmp_path):
    with ZipFile(site[0] / "tiny.zip", "w") as archive:
        archive.writestr("elsewhere", DATA)
    with pytest.raises(DataError, match="holds inside"):
        fetch("tiny", tmp_path, f"{site[1]}/tiny.zip")


def test_an_archive_that_is_damaged_within(site, tmp_path):
    path = site[0] / "tiny.zip"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("inside", DATA * 100)
    damaged = bytearray(path.read_bytes())
    damaged[36:46] = b"\xff" * 10  # the local header takes 30 bytes, the name 6: the compressed data begins
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="holds inside"):
        fetch("tiny", tmp_path / "data", f"{site[1]}/tiny.zip")
    assert not (tmp_path / "data").exists()


def test_a_download_that_fails(site, tmp_path):
    with pytest.raises(FedlearnError, match=r"cannot download .*404"):
        fetch("tiny", tmp_path, f"{site[1]}/absent")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can
        with pytest.raises(FedlearnError, match="cannot download"):
            fetch("tiny", tmp_path, f"http://127.0.0.1:{deaf.getsockname()[1]}/refused")
    with pytest.raises(FedlearnError, match="cannot download"):
        fetch("tiny", tmp_path, "no address")


def test_a_folder_that_cannot_be_written(site, tmp_path):
    (site[0] / "tiny.tsv").write_bytes(DATA)
    (tmp_path / "file").touch()
    with pytest.raises(FedlearnError, match="cannot write"):
        fetch("tiny", tmp_path / "file", f"{site[1]}/tiny.tsv")
    in_the_way = tmp_path / "data" / "tiny.tsv"
    in_the_way.mkdir(parents=True)
    with pytest.raises(FedlearnError, match="cannot write"):
        fetch("tiny", tmp_path / "data", f"{site[1]}/tiny.tsv")
    assert list(in_the_way.parent.iterdir()) == [in_the_way]


def test_what_cannot_be_fetched_says_why(tmp_path):
    with pytest.raises(BadInput, match="built in: there is nothing to download"):
        fetch("sample", tmp_path)
    with pytest.raises(BadInput, match="no public download of exactly its file"):
        fetch("enron", tmp_path)
    with pytest.raises(BadInput, match="unknown data set"):
        fetch("mnist", tmp_path)
