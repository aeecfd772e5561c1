"""A client that sends nothing of what it learned."""

from dataclasses import dataclass

from clients.behaviours.base import Behaviour, with_vectors


@dataclass(frozen=True)
class Lazy(Behaviour):
    """Sends `share` of its update: of every vector, the strategy's other ones too."""

    share: float = 0.0

    def update(self, update, honest):
        return with_vectors(update, **{name: self.share * vector for name, vector in update.vectors.items()})
