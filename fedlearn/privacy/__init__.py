"""Differential privacy: exact integer noise, the mechanism with its two halves, accountants, ledger, audit."""
