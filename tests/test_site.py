"""The documentation as a site: built strictly, without a word from elsewhere, with no link that leads nowhere.

Skipped without the extra `docs`.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import runpy
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = (ROOT / "zensical.toml").read_text(encoding="utf-8")
PAGES = runpy.run_path(str(ROOT / "docs" / "pages.py"))
ASKS = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "srcset"}  # what a browser fetches


class Read(HTMLParser):
    """Of a built page: ids, links, and the addresses that a browser asks for by itself."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids, self.links, self.asked = set(), set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        self.ids.update(filter(None, (said.get("id"), said.get("name"))))
        if tag == "a" and said.get("href"):
            self.links.add(said["href"])
        if tag in ASKS and said.get(ASKS[tag]):
            self.asked.add(said[ASKS[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    if not all(map(importlib.util.find_spec, ("zensical", "mkdocstrings_handlers"))):
        pytest.skip("pip install 'fedlearn[docs]'")
    project = tmp_path_factory.mktemp("project")
    PAGES["lay"](project / "build" / "pages")
    here = SETTINGS.replace('paths = ["."]', f'paths = ["{ROOT}"]').replace('"docs/', f'"{ROOT}/docs/')
    (project / "zensical.toml").write_text(here, encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return project / "build" / "site"


@pytest.fixture(scope="module")
def built(site) -> dict[Path, Read]:
    return {page: Read(page) for page in site.rglob("*.html") if page.name != "404.html"}


def test_every_page_stands_in_the_navigation_once():
    listed = re.findall(r'= "([\w./-]+\.md)"', SETTINGS)
    laid = [str(place) for place in PAGES["pages"]().values()]
    wanted = [*laid, *(f"reference/{name}.md" for name in PAGES["REFERENCE"])]
    assert set(wanted) - set(listed) == set(), "add the page to zensical.toml"
    assert sorted(listed) == sorted(wanted)
    assert tomllib.loads(SETTINGS)["project"]["theme"]["font"] is False


def test_no_page_asks_for_anything_from_elsewhere(site, built):
    assert not {at for page in built.values() for at in page.asked if re.match(r"(https?:)?//", at)}
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.findall(r"url\(['\"]?(?:https?:)?//[^)]*|@import[^;]*//", styles)


def test_no_link_leads_nowhere(built):
    assert len(built) > 30
    for page, read in built.items():
        for link in read.links:
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{page.name}: {link}"
            if anchor and target in built and anchor != "__codelineno":
                assert anchor in built[target].ids, f"{page.name}: {link}"


def test_every_public_name_stands_in_the_reference(built):
    ids = set().union(*(page.ids for page in built.values()))
    faces = map(importlib.import_module, PAGES["REFERENCE"])
    public = {f"{face.__name__}.{name}": getattr(face, name) for face in faces for name in getattr(face, "__all__", ())}
    homes = {
        name: f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"
        for name, thing in public.items()
        if callable(thing) and thing is not int  # an alias
    }
    assert len(homes) > 200
    assert {name for name, home in homes.items() if not {name, home} & ids} == set()


def test_arguments_become_lists():
    pytest.importorskip("griffe")
    with_lists = runpy.run_path(str(ROOT / "docs" / "docstrings.py"))["with_lists"]
    said = with_lists(
        "Trains.\n\nmodel     what is trained,\n          in place\nlr, mu    rates\n\nNote: slow: it is."
    )
    assert said == "Trains.\n\n* `model`: what is trained,\n    in place\n* `lr`, `mu`: rates\n\nNote: slow: it is."
