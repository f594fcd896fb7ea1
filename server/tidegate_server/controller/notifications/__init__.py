"""Decisions told to the addresses that a plan names, at least once, in order."""
