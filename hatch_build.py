"""Generates sdk/tidegate/v1 from protos/ whenever the distribution is built.

Run as a script, it generates the stubs in place: `python hatch_build.py`.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def generate(root: Path) -> None:
    """Write the message, service and type stubs of every proto below `root`/protos."""
    protos, out = root / "protos", root / "sdk"
    kinds = ("python", "grpc_python", "mypy", "mypy_grpc")
    subprocess.run(  # in process, protoc does not find google/protobuf
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}"]
        + [f"--{kind}_out={out}" for kind in kinds]
        + sorted(map(str, protos.rglob("*.proto"))),
        check=True,
    )


class CustomBuildHook(BuildHookInterface[Any]):
    """Called by hatchling for wheel, sdist and editable install alike."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate the stubs before files are collected."""
        generate(Path(self.root))


if __name__ == "__main__":
    generate(Path(__file__).parent)
