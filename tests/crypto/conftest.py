from __future__ import annotations

import pytest

from fedlearn.crypto import PrivateKey, PublicKey, generate_keypair


@pytest.fixture(scope="session")
def keys() -> tuple[PublicKey, PrivateKey]:
    """A full-size key."""
    return generate_keypair(2048)


@pytest.fixture(scope="session")
def toy() -> tuple[PublicKey, PrivateKey]:
    """A toy key, for tests that encrypt a thousand times."""
    return generate_keypair(512, insecure_test_key=True)


@pytest.fixture(scope="session")
def other_toy() -> tuple[PublicKey, PrivateKey]:
    return generate_keypair(512, insecure_test_key=True)
