"""Local training: the loop over mini-batches, models as flat vectors, stacks of clients, narrowed models."""
