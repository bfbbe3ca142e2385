"""Comparing runs: what is paired, what has changed, and what speaks against believing it."""
