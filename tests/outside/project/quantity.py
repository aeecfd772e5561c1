"""A partition into clients of very different size."""

from dataclasses import dataclass

import numpy as np

from fedlearn.datasets.partitions import Partitioner, ascending, checked_clients


@dataclass(frozen=True)
class Quantity(Partitioner):
    """Each client's share of all examples is drawn from Dirichlet(alpha); nobody goes without."""

    alpha: float = 1.0

    def split(self, labels, users, clients, rng):
        count = checked_clients(clients, len(labels), "quantity")
        shares = rng.dirichlet(np.full(count, self.alpha))
        ends = np.arange(1, count) + np.floor(np.cumsum(shares)[:-1] * (len(labels) - count)).astype(int)
        return ascending(np.split(rng.permutation(len(labels)), ends))
