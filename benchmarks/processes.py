"""What a process uses: memory and time of a processor, as Linux counts them."""

import os
from pathlib import Path


def resident_bytes(pid: int | str = "self") -> int:
    """Return the memory of a process that is in use (VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1_024
    raise RuntimeError(f"process {pid} has no VmRSS")


def processor_seconds(pid: int) -> float:
    """Return the time that a process has computed, its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")
