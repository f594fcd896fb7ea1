"""From what people say of traffic and outcomes to the stream that a plan is simulated on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tidegate.model import Direction
from tidegate_server.domain.checks import unknown
from tidegate_server.domain.experiments.outcomes import Outcome
from tidegate_server.domain.experiments.plan import MetricName, Plan
from tidegate_server.domain.experiments.stream import Simulated, Stream, Trouble
from tidegate_server.domain.metrics import KNOWN
from tidegate_server.errors import InvalidField, InvalidFields


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a plan shall meet.

    outcomes, icc, directions: by outcome; icc: in [0, 1]; directions: where they are not known.
    effects: relative changes under the treatment, > -1, by outcome or by metric. Traffic as in
    `Stream`.
    """

    outcomes: Mapping[str, Outcome]
    icc: Mapping[str, float]
    effects: Mapping[str, float]
    directions: Mapping[str, Direction]
    units_per_minute: float
    requests_per_unit: float
    variation: float = 0.0
    arrivals: tuple[float, ...] = (1.0,)
    troubles: tuple[Trouble, ...] = ()

    def stream(self, plan: Plan) -> Stream:
        """Return what comes in, as far as the plan judges it.

        Raises:
            InvalidFields: nothing, or too little, is said of metrics of the plan; or effects are of
                none.
        """
        metrics, problems = {}, [*self._stray_effects(plan)]
        for name in plan.metrics():
            try:
                metrics[name] = self._simulated(name, compared=name in plan.compared)
            except InvalidField as problem:
                problems.append(problem)
        if problems:
            raise InvalidFields(list({each.field: each for each in problems}.values()))
        return Stream(
            metrics=metrics,
            units_per_minute=self.units_per_minute,
            requests_per_unit=self.requests_per_unit,
            variation=self.variation,
            troubles=self.troubles,
            arrivals=self.arrivals,
        )

    def _stray_effects(self, plan: Plan) -> Iterator[InvalidField]:
        known = [text for each in plan.metrics() for text in (str(each), each.outcome)]
        for name in self.effects:
            if name not in known:
                yield InvalidField(f"effect {name}", f"metric {unknown(name, sorted({*known}))}")

    def _simulated(self, name: MetricName, *, compared: bool) -> Simulated:
        outcome = self.outcomes.get(name.outcome)
        if outcome is None:
            raise InvalidField(
                f"metric {name.outcome}",
                "is judged by the plan: say what it is like, such as rating=3.9±1.2 or error=1%",
            )
        direction = self.directions.get(name.outcome, KNOWN.get(name.outcome, Direction.UNKNOWN))
        if compared and direction is Direction.UNKNOWN:
            raise InvalidField(
                f"metric {name.outcome}", "is compared: say whether higher or lower is better"
            )
        effect = self.effects.get(str(name), self.effects.get(name.outcome, 0.0))
        try:
            control = outcome.moments(name.statistic)
            treatment = outcome.changed(effect).moments(name.statistic)
        except ValueError as error:
            raise InvalidField(f"metric {name}", str(error)) from error
        higher = direction is Direction.HIGHER
        return Simulated(control, treatment, higher, self.icc[name.outcome])
