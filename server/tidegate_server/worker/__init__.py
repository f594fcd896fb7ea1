"""Folds stored events into live aggregates, each batch exactly once."""
