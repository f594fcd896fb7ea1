"""A process with an SDK of its own: prints the variant of every unit, as JSON."""

import json
import sys

import tidegate


def main(address: str, flag: str, count: int) -> None:
    with tidegate.Client(address, record_exposures=False) as client:
        if not client.wait_ready(30):
            sys.exit(f"no snapshot from {address}")
        given = [client.assign(flag, f"user-{number}") for number in range(count)]
    json.dump(
        {
            "revisions": sorted({assignment.revision for assignment in given}),
            "variants": [assignment.variant for assignment in given],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
