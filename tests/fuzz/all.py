"""All readers: of messages, of data, of run folders and plans, of memories, of settings."""

from __future__ import annotations

from tests.fuzz.files import FILES
from tests.fuzz.memories import MEMORIES
from tests.fuzz.readers import READERS
from tests.fuzz.settings import SETTINGS

ALL = [*READERS, *FILES, *MEMORIES, *SETTINGS]
