"""Tidegate's server: flags, events, live aggregates, reports, and the roles that run them."""
