"""The report in a real browser: no word on its console, no request to anybody, nothing that axe-core objects to.

Skipped where there is no Chromium (Debian: apt-get install chromium), and the part with axe-core where that is not
installed (pip install axe-playwright-python brings its script along).
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.scenarios.command import fedlearn

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SPAM = ["run", "spam", "--vocabulary", "hashed:64", "--clients", "5", "--rounds", "2", "--quiet"]
KEY = ["--key-bits", "512", "--insecure-test-key"]
PROTECTIONS = {"none": [], "masks": [], "paillier": KEY, "threshold:2/3": KEY}
QUIET = [  # what the browser would do by itself, which is none of the page's
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-default-apps", "--disable-sync", "--disable-extensions",
    "--disable-domain-reliability", "--disable-features=OptimizationHints,MediaRouter,Translate",
]  # fmt: skip
BROWSERS_OWN = re.compile(r"(https?://)?(?!fonts\.|ajax\.)[\w.-]*\.(google|googleapis|gvt1|gstatic)\.com(:443)?(/|$)")
DARK = "--blink-settings=preferredColorScheme=0"
AXE = """<script>{axe}</script><script>
axe.run(document).then(found => {{
  document.documentElement.dataset.found = JSON.stringify(found.violations.map(v => [v.id, v.nodes[0].html]));
  document.documentElement.dataset.passed = found.passes.length;
}});</script></body>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    """The report on four runs, one for each protection."""
    folder = tmp_path_factory.mktemp("runs")
    for protection, more in PROTECTIONS.items():
        out = str(folder / protection.partition(":")[0])
        assert fedlearn(*SPAM, "--protection", protection, *more, "--out", out) == 0
    assert fedlearn("report", str(folder), "--out", str(folder / "page.html")) == 0
    return (folder / "page.html").read_text(encoding="utf-8")


@contextmanager
def serving(page: str) -> Iterator[tuple[int, list[str]]]:
    """A server of the page that is every other server too, as the browser's proxy; its port, and what was asked."""
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if self.path.endswith("/page.html") else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            if self.path.endswith("/page.html"):
                self.wfile.write(page.encode())

        do_POST = do_CONNECT = do_HEAD = do_GET  # noqa: N815

        def log_message(self, *words): ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def shown(page: str, folder: Path, *options: str) -> tuple[str, list[str], list[str]]:
    """The page's final tree as text, what stood on the console, and the addresses that were asked for beside it."""
    with serving(page) as (port, asked):
        done = subprocess.run(
            [
                CHROMIUM, *QUIET, *options, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000",
                "--enable-logging=stderr", f"--proxy-server=127.0.0.1:{port}", "--proxy-bypass-list=<-loopback>",
                "--dump-dom", "http://report.test/page.html",
            ],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert any(address.endswith("/page.html") for address in asked)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    others = [at for at in asked if not at.endswith("/page.html") and not BROWSERS_OWN.match(at)]
    return done.stdout, console, others


def test_it_asks_for_nothing_and_says_nothing_on_the_console(page, tmp_path):
    tree, console, others = shown(page, tmp_path)
    assert "threshold" in tree
    assert console == []
    assert others == []


def test_a_page_that_asks_or_fails_would_be_seen(tmp_path):
    page = "<html><body><img src='http://else.test/spy.png'><script>nowhere.at.all</script></body></html>"
    _, console, others = shown(page, tmp_path)
    assert any("nowhere is not defined" in line for line in console)
    assert any("spy.png" in address for address in others)


def test_a_click_sorts_a_table(page, tmp_path):
    click = "<script>document.querySelectorAll('th button')[0].click()</script></body>"
    tree, console, _ = shown(page.replace("</body>", click), tmp_path)
    assert console == []
    assert 'aria-sort="ascending"' in tree


@pytest.mark.parametrize("options", [["--window-size=1280,1000"], [DARK, "--window-size=390,844"]])
def test_axe_finds_no_violation(options, page, tmp_path):
    package = importlib.util.find_spec("axe_playwright_python")
    if package is None:
        pytest.skip("no axe-core: pip install axe-playwright-python")
    script = Path(package.origin or "").with_name("axe.min.js").read_text(encoding="utf-8")
    tree, _, _ = shown(
        page.replace("</body>", AXE.format(axe=script.replace("</script", "<\\/script"))), tmp_path, *options
    )
    found = re.search(r'data-found="([^"]*)"', tree)
    assert found is not None
    assert json.loads(found[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">")) == []
    assert int(re.search(r'data-passed="(\d+)"', tree)[1]) > 10
