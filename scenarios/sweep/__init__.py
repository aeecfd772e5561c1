"""Many runs of one scenario: a grid of options, processes that run it, and the table that comes out."""
