"""Names of keys in the store.

All configuration of an environment shares one hash tag, and so does each of its event shards:
what one script touches lies in one slot of a cluster.
"""

from dataclasses import dataclass

from tidegate.model import FlagKey, Phase, VariantKey
from tidegate_server.analysis.windows import Resolution
from tidegate_server.domain.events import Arm, Shard

_OUTSIDE = ":outside"


@dataclass(frozen=True, slots=True)
class ConfigKeys:
    """Keys of one environment's configuration."""

    environment: str

    @property
    def revision(self) -> str:
        """The environment's revision: a string."""
        return f"{{tidegate:{self.environment}}}:revision"

    @property
    def resources(self) -> str:
        """What is configured, serialized: a hash of `flag/<key>`, `segment/<key>`, `holdout`."""
        return f"{{tidegate:{self.environment}}}:resources"

    @property
    def changes(self) -> str:
        """The latest changes, each under the id `<revision>-0`: a stream."""
        return f"{{tidegate:{self.environment}}}:changes"

    @property
    def history(self) -> str:
        """All flags that there ever were, and their variants as `<flag>/<variant>`: a set."""
        return f"{{tidegate:{self.environment}}}:history"

    @property
    def workers(self) -> str:
        """The workers that live, each with the time of its last beat: a sorted set."""
        return f"{{tidegate:{self.environment}}}:workers"


@dataclass(frozen=True, slots=True)
class ShardKeys:
    """Keys of one event shard of an environment."""

    environment: str
    shard: Shard

    @property
    def stream(self) -> str:
        """Batches that are not folded yet: a stream."""
        return f"{self._tag}:stream"

    @property
    def progress(self) -> str:
        """How far the stream was written and read: a hash.

        written: bytes that entries took so far. offset/<reader>: id of the last entry that a
        reader is done with. read/<reader>: bytes of the entries up to there.
        """
        return f"{self._tag}:progress"

    @property
    def rejected(self) -> str:
        """Entries that could not be read: a stream."""
        return f"{self._tag}:rejected"

    def batches(self, minute: int) -> str:
        """Ids of the batches that were made in one minute since 1970: a set that expires."""
        return f"{self._tag}:batches:{minute}"

    def arms(self, flag: FlagKey) -> str:
        """Members of a flag's arms, as `arm_member` writes them: a sorted set, by expiry in ms."""
        return f"{self._tag}:arms:{flag}"

    def arm(self, arm: Arm) -> str:
        """One arm's aggregate: a hash, laid out by `aggregate_codec`."""
        return f"{self._tag}:arm:{arm.flag}:{arm_member(arm)}"

    def units(self, arm: Arm) -> str:
        """One arm's bitmap of units: a string."""
        return f"{self._tag}:units:{arm.flag}:{arm_member(arm)}"

    def windows(self, arm: Arm, resolution: Resolution, chunk: int) -> str:
        """One arm's windows in a chunk of time: a hash, laid out by `window_codec`."""
        return f"{self._tag}:windows:{arm.flag}:{arm_member(arm)}:{resolution}:{chunk}"

    @property
    def _tag(self) -> str:
        return f"{{tidegate:{self.environment}:{self.shard}}}"


def arm_member(arm: Arm) -> str:
    """Write what distinguishes the arms of one flag; keys have no colons."""
    return f"{arm.phase}:{arm.variant}" + (_OUTSIDE if arm.outside_split else "")


def arm_of_member(flag: FlagKey, member: str) -> Arm:
    """Read what `arm_member` wrote."""
    outside_split = member.endswith(_OUTSIDE)
    phase, variant = member.removesuffix(_OUTSIDE).split(":")
    return Arm(flag, Phase(int(phase)), VariantKey(variant), outside_split)
