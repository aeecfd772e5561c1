"""A key that is the same in every run, for bytes and limits that are written out. It protects nothing."""

from __future__ import annotations

from fedlearn.crypto import PrivateKey

P, Q = (3 << 254) + 0x77, (3 << 254) + (1 << 200) + 0x2A3
PRIVATE = PrivateKey(P, Q, insecure_test_key=True)
PUBLIC = PRIVATE.public
