"""Runs a command that does not outlive its parent, even where the parent is killed.

`python tether.py PARENT_PID COMMAND…` replaces itself by the command, so that the process keeps its
id. It asks Linux to kill it when its parent ends (prctl(2), PR_SET_PDEATHSIG, which outlasts
execve); elsewhere it only runs the command.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tethered(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command line that runs `command` tied to the present process.

    It names the file and not the module, whose package would load gRPC just to go.
    """
    return (sys.executable, "-P", "-S", __file__, str(os.getpid()), *command)


def main(arguments: list[str]) -> None:
    """Tie this process to its parent and become the command."""
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it was gone before the tether held
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - the supervisor's own command


if __name__ == "__main__":
    main(sys.argv[1:])
