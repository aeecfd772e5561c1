from __future__ import annotations

from collections.abc import Callable

import pytest

from fedlearn.datasets import DATASETS
from fedlearn.errors import DataError


@pytest.fixture
def real() -> Callable[[str], None]:
    """Skips a test on a named data set whose file is not there, and says how to get it."""

    def need(name: str) -> None:
        found = DATASETS.load(name)
        if not found.path().is_file():
            with pytest.raises(DataError) as missing:
                found.read()
            pytest.skip(str(missing.value))

    return need
