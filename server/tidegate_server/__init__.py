"""Tidegate's server: flags, events, live aggregates, reports, and the roles that run them."""

# Before anything imports the SDK, which would have gRPC poll in the way that survives a fork: a
# server is not forked, and has too many connections for poll(2).
import grpc  # noqa: F401
