"""What the program did, written down so that Tidegate's figures can be checked against it."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from threading import Lock

import tidegate


class Ledger:
    """Counts what was reported, and remembers which variants each unit was given. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: Counter[tuple[int, str]] = Counter()
        self._reported: Counter[tuple[str, str]] = Counter()
        self._seen: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
        self._exposed: set[tuple[str, int, str]] = set()

    def note(self, choice: tidegate.Assignment, outcomes: tuple[str, ...]) -> None:
        """Write down one request: what was chosen for whom, and the outcomes reported of it.

        Without a variant nothing is reported, so nothing is written down.
        """
        if not choice.variant:
            return
        with self._lock:
            self._requests[choice.phase, choice.variant] += 1
            self._seen[choice.unit_id].add((choice.revision, choice.variant))
            self._exposed.add((choice.unit_id, choice.phase, choice.variant))
            for outcome in outcomes:
                self._reported[choice.variant, outcome] += 1

    def write(self, file: Path, stats: tidegate.Stats, *, flushed: bool) -> None:
        """Write the whole ledger as JSON, with what the SDK says about its queue.

        requests: number by phase and variant. reported: number of events by variant and outcome.
        exposures: by variant, each unit once a phase. units: each unit's variants by revision.
        """
        with self._lock:
            exposures = Counter(variant for _, _, variant in self._exposed)
            content = {
                "requests": [[*key, count] for key, count in sorted(self._requests.items())],
                "reported": [[*key, count] for key, count in sorted(self._reported.items())],
                "exposures": dict(sorted(exposures.items())),
                "units": {unit: sorted(seen) for unit, seen in self._seen.items()},
                "acknowledged": stats.acknowledged,
                "dropped": stats.dropped,
                "refused": stats.refused,
                "flushed": flushed,
            }
        file.write_text(json.dumps(content), encoding="utf-8")
