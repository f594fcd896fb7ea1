"""Keeps the roles of `tidegate up` running, each a process of its own."""
