"""A federation of Flower's on loopback: SuperLink and SuperNodes as real processes, with TLS of our own making."""

from __future__ import annotations

import datetime
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


class Federation:
    """folder: where certificates, logs and Flower's own files go."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        certificates_in(folder)
        (folder / "config.toml").write_text(
            f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{self.port}"\n'
            f'root-certificates = "{folder / "ca.crt"}"\n'
        )
        own = {"FLWR_HOME": str(folder), "FLWR_TELEMETRY_ENABLED": "0", "PYTHONPATH": str(ROOT)}
        self.environment = os.environ | own | {"PATH": f"{BIN}:{os.environ['PATH']}"}
        self.start(
            "link", "flower-superlink", "--ssl-ca-certfile", "ca.crt", "--ssl-certfile", "server.pem", "--ssl-keyfile",
            "server.key", "--port", str(self.port), "--disable-runtime-dependency-installation",
        )  # fmt: skip
        self.wait_for("link", "Uvicorn running")

    def node(self, name: str, config: str) -> None:
        self.start(
            name, "flower-supernode", "--root-certificates", "ca.crt", "--superlink", f"127.0.0.1:{self.port}",
            "--port", str(free_port()), "--node-config", config,
        )  # fmt: skip
        self.wait_for(name, "Uvicorn running")

    def start(self, name: str, program: str, *words: str) -> None:
        with open(self.folder / f"{name}.log", "wb") as log:
            self.processes[name] = subprocess.Popen(
                [BIN / program, *words], cwd=self.folder, env=self.environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def run(self, app: Path, config: str) -> str:
        """Submit a run; its log is that of the process "run"."""
        self.start("run", "flwr", "run", str(app), "here", "--stream", "--run-config", config)
        return "run"

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def wait_for(self, name: str, text: str, seconds: float = 240) -> None:
        until = time.monotonic() + seconds
        while text not in self.said(name):
            over = time.monotonic() > until or self.processes[name].poll() is not None
            assert not over or text in self.said(name), f"{name} never said {text!r}:\n{self.said(name)[-2000:]}"
            time.sleep(0.2)

    def kill(self, name: str) -> None:
        """End a process, with those that it started, as a power cut would."""
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self.processes.pop(name).pid, signal.SIGKILL)

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def certificates_in(folder: Path) -> None:
    """A certificate authority of one's own, and a server's certificate for 127.0.0.1, for a day."""
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    pem = serialization.Encoding.PEM
    (folder / "ca.crt").write_bytes(signed("authority", authority, authority, True).public_bytes(pem))
    (folder / "server.pem").write_bytes(signed("localhost", server, authority, False).public_bytes(pem))
    form = serialization.PrivateFormat.PKCS8
    (folder / "server.key").write_bytes(server.private_bytes(pem, form, serialization.NoEncryption()))


def signed(name: str, key, authority, is_authority: bool) -> x509.Certificate:
    def named(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    made = x509.CertificateBuilder(named("authority"), named(name), key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - day).not_valid_after(now + day)
    made = made.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = made.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return made.sign(authority, hashes.SHA256())
