"""Runs `python -m tidegate_server.cli` as the command `tidegate`."""

from tidegate_server.cli import main

main()
