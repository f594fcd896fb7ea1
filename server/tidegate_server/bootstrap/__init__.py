"""The one place that constructs adapters and joins them into roles: a module for each role."""
