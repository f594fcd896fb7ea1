"""The command `tidegate`."""

import sys


def main() -> None:
    """Run the command line of this process; without the server's libraries, say what to install."""
    try:
        from tidegate_server.cli.app import run
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith("tidegate"):
            raise
        sys.exit(
            f"error: the command needs {missing.name}, which is not installed: "
            "pip install 'tidegate[server]'"
        )
    sys.exit(run(sys.argv[1:]))
