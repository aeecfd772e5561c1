"""Tests of the bridge need Flower, whose pins are not ours: an environment of its own has it, see `make flower`."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("flwr") else ["test_[!v]*.py"]
