"""A network that adds what a hidden layer computes to a linear one."""

from fedlearn import nn
from fedlearn.models.base import Model, mean_cross_entropy
from fedlearn.models.kinds import Features


class Residual(Model):
    stackable = True
    reads = Features
    width = 8

    def __init__(self, inputs, classes, hidden=8, *, rng=None):
        self.straight = nn.Linear(inputs, classes, rng=rng)
        self.bent = nn.Sequential(nn.Linear(inputs, hidden, rng=rng), nn.Tanh(), nn.Linear(hidden, classes, rng=rng))

    @classmethod
    def for_samples(cls, samples, width=width, *, rng=None):
        return cls(samples.inputs, samples.classes, width, rng=rng)

    def forward(self, features):
        return self.straight(features) + self.bent(features)

    def loss(self, batch):
        return mean_cross_entropy(self(*batch.inputs), batch.targets)
