"""Protection by masks: `protection` is the configuration, `client` and `server` are its halves, `wire` their bytes."""

from fedlearn.secure.masks.protection import Masks

__all__ = ["Masks"]
