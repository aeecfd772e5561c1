"""Defaults that the command names in its help, without loading what they belong to."""

KEY_BITS = 3072  # of a Paillier modulus: 128 bits of security
MIN_COHORT = 3  # the fewest clients whose sum is opened
