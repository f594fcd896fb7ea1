"""The command `tidegate`."""

import sys


def main() -> None:
    """Run the command line of this process."""
    from tidegate_server.cli.app import run

    sys.exit(run(sys.argv[1:]))
