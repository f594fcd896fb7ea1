"""Names of keys in the store.

All configuration of an environment shares one hash tag with its experiments, and so does each of
its event shards: what one script touches lies in one slot of a cluster.
"""

from dataclasses import dataclass

from tidegate.model import FlagKey, Phase, VariantKey
from tidegate_server.analysis.windows import Resolution
from tidegate_server.domain.events import Arm, Shard
from tidegate_server.domain.experiments.plan import ExperimentKey

_OUTSIDE = ":outside"


@dataclass(frozen=True, slots=True)
class ConfigKeys:
    """Keys of one environment's configuration."""

    environment: str

    @property
    def commit(self) -> list[str]:
        """All that `commit_change` needs, in its order."""
        return [self.revision, self.resources, self.changes, self.history]

    @property
    def revision(self) -> str:
        """The environment's revision: a string."""
        return f"{_config_tag(self.environment)}:revision"

    @property
    def resources(self) -> str:
        """What is configured, serialized: a hash of `flag/<key>`, `segment/<key>`, `holdout`."""
        return f"{_config_tag(self.environment)}:resources"

    @property
    def changes(self) -> str:
        """The latest changes, each under the id `<revision>-0`: a stream."""
        return f"{_config_tag(self.environment)}:changes"

    @property
    def history(self) -> str:
        """All flags that there ever were, and their variants as `<flag>/<variant>`: a set."""
        return f"{_config_tag(self.environment)}:history"

    @property
    def workers(self) -> str:
        """The workers that live, each with the time of its last beat: a sorted set."""
        return f"{_config_tag(self.environment)}:workers"


@dataclass(frozen=True, slots=True)
class ExperimentKeys:
    """Keys of one environment's experiments: in the slot of its configuration."""

    environment: str

    @property
    def experiments(self) -> str:
        """Experiments, serialized, by their keys: a hash."""
        return f"{self._tag}:experiments"

    @property
    def versions(self) -> str:
        """Versions of experiments by their keys: a hash."""
        return f"{self._tag}:experiment-versions"

    @property
    def holders(self) -> str:
        """Of each flag that is held, the key of the experiment that holds it: a hash."""
        return f"{self._tag}:experiment-holders"

    @property
    def count(self) -> str:
        """How many changes of experiments there were: a string."""
        return f"{self._tag}:experiment-count"

    @property
    def changes(self) -> str:
        """The latest changes of experiments, each under the id `<count>-0`: a stream."""
        return f"{self._tag}:experiment-changes"

    @property
    def outbox(self) -> str:
        """Decisions that are still to be told: a stream."""
        return f"{self._tag}:outbox"

    @property
    def leader(self) -> str:
        """Which controller leads: a hash of `holder`, `ends` (ms since 1970) and `fence`."""
        return f"{self._tag}:leader"

    def decisions(self, key: ExperimentKey) -> str:
        """One experiment's decisions, each under the id `<number>-0`: a stream."""
        return f"{self._tag}:decisions:{key}"

    def looks(self, key: ExperimentKey) -> str:
        """What the latest looks at one experiment saw, by time: a stream."""
        return f"{self._tag}:looks:{key}"

    def gates(self, key: ExperimentKey) -> str:
        """What came of one experiment's checks and hooks, by name: a hash."""
        return f"{self._tag}:gates:{key}"

    @property
    def _tag(self) -> str:
        return _config_tag(self.environment)


@dataclass(frozen=True, slots=True)
class ReplicaKeys:
    """Keys of one environment's replicas: in the slot of its configuration and its leader."""

    environment: str

    @property
    def replicas(self) -> str:
        """All that is known of replicas, laid out by `replica_fields.lua`: a hash."""
        return f"{_config_tag(self.environment)}:replicas"

    @property
    def changes(self) -> str:
        """News of replicas, for those who wait: a stream of empty entries."""
        return f"{_config_tag(self.environment)}:replica-changes"


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


def _config_tag(environment: str) -> str:
    return f"{{tidegate:{environment}}}"


def arm_member(arm: Arm) -> str:
    """Write what distinguishes the arms of one flag; keys have no colons."""
    return f"{arm.phase}:{arm.variant}" + (_OUTSIDE if arm.outside_split else "")


def arm_of_member(flag: FlagKey, member: str) -> Arm:
    """Read what `arm_member` wrote."""
    outside_split = member.endswith(_OUTSIDE)
    phase, variant = member.removesuffix(_OUTSIDE).split(":")
    return Arm(flag, Phase(int(phase)), VariantKey(variant), outside_split)
