"""The common part of the bridge to Flower: which releases it takes, and what passes in Flower's messages.

Users find the names of the bridge in `scenarios.flower`.
"""
