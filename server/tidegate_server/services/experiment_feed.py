"""Experiments as this process knows them: one follower of the store, shared by all who watch."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate_server.domain.experiments.plan import ExperimentKey
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.errors import NotFound
from tidegate_server.ports import ExperimentStore
from tidegate_server.services.feed import Feed


@dataclass(frozen=True, slots=True)
class Told:
    """One change. experiment: as it is now; None: it was deleted."""

    key: ExperimentKey
    experiment: Experiment | None


class ExperimentFeed(Feed[Told]):
    """Follows an environment's experiments; its position counts what it told.

    Of changes that follow each other closely only the last may be told.
    """

    def __init__(self, store: ExperimentStore) -> None:
        super().__init__()
        self._store = store
        self._experiments: dict[ExperimentKey, Experiment] = {}
        self._position = 0

    @property
    def experiments(self) -> Mapping[ExperimentKey, Experiment]:
        """All experiments that this process knows."""
        return self._experiments

    @property
    def position(self) -> int:
        """How many changes were told."""
        return self._position

    async def follow(self) -> None:
        """Load all experiments, and follow them."""
        changes = self._store.changes()
        await anext(changes)
        loaded = dict(await self._store.load())
        anew = loaded != self._experiments
        self._experiments = loaded
        await self.load_done(anew=anew)
        async for key in changes:
            if self.ended:
                return
            if key is not None:
                await self._renew(key)

    async def _renew(self, key: ExperimentKey) -> None:
        """Read one experiment, and tell of it if it is another than was known."""
        try:
            experiment = await self._store.get(key)
        except NotFound:
            experiment = None
        if experiment == self._experiments.get(key):
            return
        if experiment is None:
            del self._experiments[key]
        else:
            self._experiments[key] = experiment
        self._position += 1
        self.publish(Told(key, experiment))
