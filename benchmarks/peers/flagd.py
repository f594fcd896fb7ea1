from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from benchmarks.peers.peer import CONTROL, FLAG, TREATMENT, Peer

DISTRIBUTION = "openfeature-flagd-core"


def load() -> Peer:
    core = FlagdCore()
    core.set_flags(
        {
            "flags": {
                FLAG: {
                    "state": "ENABLED",
                    "variants": {CONTROL: CONTROL, TREATMENT: TREATMENT},
                    "defaultVariant": CONTROL,
                    "targeting": {"fractional": [[CONTROL, 50], [TREATMENT, 50]]},
                }
            }
        }
    )
    resolve = core.resolve_string_value
    return Peer(quiet=lambda unit: resolve(FLAG, "", EvaluationContext(unit)).value)
