"""`python -m benchmarks`: measures, and prints tables."""

import argparse
import importlib
import platform

import grpc

SECTIONS = {
    "assign": "assigning",
    "flags": "many_flags",
    "batch": "batches",
    "peers": "beside_peers",
    "watch": "fan_out",
    "wire": "wire",
    "fold": "folding",
    "intake": "intake",
    "analysis": "analysing",
    "analysis-peers": "analysing_beside_peers",
    "pipeline": "pipeline",
    "rollback": "rolling_back",
}
"""Name and module of each section; imported when it is run, for each needs other packages."""


def main() -> None:
    """Run the sections that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="section", help=f"{', '.join(SECTIONS)}; default: all"
    )
    parser.add_argument("--long", action="store_true", help="also what takes long: 5,000 watchers")
    wanted = parser.parse_args()
    unknown = set(wanted.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown section {', '.join(sorted(unknown))}; known: {', '.join(SECTIONS)}")
    print(f"Python {platform.python_version()}, grpcio {grpc.__version__}, {platform.machine()}")
    for section, module in SECTIONS.items():
        if not wanted.sections or section in wanted.sections:
            importlib.import_module(f"benchmarks.{module}").run(long=wanted.long)


if __name__ == "__main__":
    main()
