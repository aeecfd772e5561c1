"""Which releases of Flower the bridge takes; these tests need none."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import scenarios.flower
from fedlearn.errors import BadInput
from fedlearn.flower.versions import check_known

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("found", ["1.22.0", "1.42.0", "1.43.0.dev20261101", "1.100"])
def test_releases_that_are_taken(found):
    check_known(found)


@pytest.mark.parametrize("found", ["0.19.0", "1.21.0", "1.9"])
def test_a_release_that_is_too_old_is_refused_with_what_to_install(found):
    with pytest.raises(BadInput, match=rf"flwr {found} is too old.*pip install 'flwr>=1.22,<2'"):
        check_known(found)


def test_a_release_that_nobody_knows_is_refused():
    with pytest.raises(BadInput, match=r"flwr 2\.0\.0 is not known"):
        check_known("2.0.0")


@pytest.mark.skipif(find_spec("flwr") is not None, reason="Flower is installed")
def test_without_flower_its_install_line_is_told():
    with pytest.raises(BadInput, match=r"pip install 'fedlearn\[flower\]'"):
        _ = scenarios.flower.run_direct


def test_the_door_shows_its_names_and_no_others():
    assert "run_direct" in dir(scenarios.flower)
    with pytest.raises(AttributeError, match="has no attribute 'run_ray'"):
        _ = scenarios.flower.run_ray


@pytest.mark.skipif(find_spec("flwr") is None, reason="Flower is not installed")
def test_an_app_with_a_clients_module_of_its_own_is_told_which_one_was_found(tmp_path):
    (tmp_path / "clients.py").write_text("mine = 1\n")
    script = f"import sys; sys.path.append({str(ROOT)!r}); from scenarios.flower import run_direct"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert f"BadInput: `import clients` finds {tmp_path.resolve()}/clients.py, which is not fedlearn's" in done.stderr
