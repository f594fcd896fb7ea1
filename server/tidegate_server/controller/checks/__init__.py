"""Checks at their edges: each asks until there is an answer, and says meanwhile how it stands."""
