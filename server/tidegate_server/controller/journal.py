"""What the controller tells of its work: one line for each decision, and counts.

Every look and every decision passes here: whatever else is to be told of them begins here.
"""

from dataclasses import dataclass

import structlog

from tidegate_server.controller.looks import Looked
from tidegate_server.domain.experiments.plan import ExperimentKey

log = structlog.get_logger(__name__)


@dataclass
class Journal:
    """Counts, since this process began. in_vain: looks at what had changed meanwhile."""

    looks: int = 0
    in_vain: int = 0
    failures: int = 0
    decisions: int = 0

    def looked(self, looked: Looked) -> None:
        """Note a look that was stored."""
        self.looks += 1
        for decision in looked.decisions:
            self.decisions += 1
            log.info(
                "decision",
                experiment=looked.experiment.plan.key,
                action=decision.action.value,
                before=decision.before.status.value,
                after=decision.after.status.value,
                stage=decision.stage,
                share_ppm=decision.after.share_ppm,
                verdict=decision.verdict.value if decision.verdict else None,
                why=decision.why,
                revision=looked.revision,
                actor=decision.actor,
            )

    def looked_in_vain(self, key: ExperimentKey, error: Exception) -> None:
        """Note a look that was not stored because something had changed."""
        self.in_vain += 1
        log.debug("look_in_vain", experiment=key, cause=str(error))

    def look_failed(self, key: ExperimentKey, error: Exception) -> None:
        """Note a look that could not be taken."""
        self.failures += 1
        cause = str(error) or type(error).__name__
        log.warning("look_failed", experiment=key, cause=cause, failures=self.failures)
