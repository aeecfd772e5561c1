"""Lays the pages of the site into build/pages, from where Zensical builds it: `make docs`.

No page is written twice. README.md is the site's first page, notebooks become pages, and the reference is a page for
each package, with what mkdocstrings reads from the docstrings. Links are made to lead to the same things as in the
repository; a file that is no page comes along as it is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)]*)?\))")
REFERENCE = (
    "fedlearn", "fedlearn.nn", "fedlearn.nn.functional", "fedlearn.optim", "fedlearn.models", "fedlearn.datasets",
    "fedlearn.strategies", "fedlearn.secure", "fedlearn.crypto", "fedlearn.privacy", "fedlearn.queries",
    "fedlearn.attacks.base", "fedlearn.protocol", "fedlearn.metrics", "fedlearn.errors", "fedlearn.testing", "clients",
    "aggregator", "aggregator.robust", "scenarios",
)  # fmt: skip


def pages() -> dict[Path, Path]:
    """Each file of the repository that is a page, and where it lies on the site."""
    found = {ROOT / "README.md": Path("index.md")}
    found |= {path: Path(path.name.lower()) for path in (ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md")}
    found |= {path: Path(path.name) for path in sorted((ROOT / "docs").glob("*.md"))}
    return found | {path: Path("tutorials", f"{path.stem}.md") for path in sorted(ROOT.glob("tutorials/*.ipynb"))}


def text_of(path: Path) -> str:
    return as_page(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")


def as_page(notebook: Path) -> str:
    """The cells of a notebook, one after the other, and where to get it."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = [
        "".join(cell["source"]) if cell["cell_type"] == "markdown" else f"```python\n{''.join(cell['source'])}\n```"
        for cell in cells
    ]
    name = notebook.name
    return "\n\n".join([texts[0], f"*This page is a notebook, [{name}]({name}): run it.*", *texts[1:]]) + "\n"


def with_links(text: str, source: Path, laid: dict[Path, Path]) -> str:
    """The text with links that lead from its place on the site to where their targets lie there.

    A target that is no page is added to `laid`, at the place that it has in the repository.
    """

    def led(link: re.Match[str]) -> str:
        target = (source.parent / link[2]).resolve()
        place = laid.setdefault(target, target.relative_to(ROOT))
        return f"{link[1]}{os.path.relpath(place, laid[source].parent)}{link[3]}"

    return LINK.sub(led, text)


def lay(place: Path) -> None:
    """Write all pages into a new folder. Raises `FileNotFoundError` for a link to what is not there."""
    shutil.rmtree(place, ignore_errors=True)
    laid = pages()
    written = {laid[source]: with_links(text_of(source), source, laid) for source in list(laid)}
    written |= {Path("reference", f"{name}.md"): f"# {name}\n\n::: {name}\n" for name in REFERENCE}
    for where, text in written.items():
        (place / where).parent.mkdir(parents=True, exist_ok=True)
        (place / where).write_text(text, encoding="utf-8")
    for source, where in laid.items():
        if where not in written:
            (place / where).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place / where)


if __name__ == "__main__":
    lay(ROOT / "build" / "pages")
