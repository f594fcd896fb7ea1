"""One experiment: its stages, why it stands where it does, its evidence, its decisions."""

from collections.abc import Sequence

from tidegate.v1 import flag_pb2
from tidegate_server.dashboard.environment import Environment
from tidegate_server.dashboard.pages.experiment_actions import ExperimentActions
from tidegate_server.dashboard.pages.kit import Text, link, node, section
from tidegate_server.dashboard.pages.over_time import OverTime
from tidegate_server.dashboard.pages.page import Page
from tidegate_server.dashboard.points import SPANS, Span
from tidegate_server.dashboard.views import experiment as views
from tidegate_server.dashboard.views.experiment import StageView
from tidegate_server.dashboard.views.flag import variants_table
from tidegate_server.dashboard.words import headline
from tidegate_server.domain.experiments.records import Experiment, Seen
from tidegate_server.domain.experiments.state import ACTIVE
from tidegate_server.experiment_text import Said, Tone, status_words, verdict_words


class ExperimentPage:
    """An experiment's page under construction."""

    def __init__(self, page: Page, environment: Environment, experiment: Experiment) -> None:
        self._page = page
        self._environment = environment
        self._last = experiment
        plan = experiment.plan
        self._path = f"/{environment.name}/experiments/{plan.key}"
        self._flag_path = f"/{environment.name}/flags/{plan.flag}"
        self._looks = environment.looks(plan.key)
        self._decisions = environment.decisions(plan.key)

    async def show(self, span: Span) -> None:
        """Show it. span: of charts."""
        plan, page = self._last.plan, self._page
        report = self._environment.report(plan.flag, control=plan.control)
        series, live = (self._environment.series(plan.flag, each) for each in (span, SPANS[0]))
        page.follow(report, series, live, self._looks, self._decisions)
        await page.first()
        with page.main:
            self._head()
            with section("Stages"):
                bar = node("ol", "stages", tabindex=0, aria_label="Stages")
                page.fill(bar, self._stages, _show_stages)
                page.fill(node("div", aria_live="polite"), self._reasons, _show_reasons)
            with section("Versions"):
                self._page.grid(lambda: variants_table(self._flag, report.value))
                link("Compare the versions", f"{self._flag_path}/analysis?control={plan.control}")
            OverTime(
                page,
                series,
                live,
                span,
                self._path,
                lambda: [plan.control, plan.treatment],
                lambda: views.split_marks(self._decisions.value or ()),
            )
            self._evidence()
            with section("Decisions"):
                self._page.grid(
                    lambda: views.decisions_table(self._decisions.value or (), page.zone)
                )
            if self._last.state.memories:
                with section("Failed attempts"):
                    self._page.grid(lambda: views.attempts_table(self._experiment.state, page.zone))
            with section("Plan"), node("dl", "facts"):
                for name, text in views.plan_facts(plan, self._last.state.started, page.zone):
                    with node("div"):
                        Text("dt", name)
                        Text("dd", text)

    @property
    def _experiment(self) -> Experiment:
        """The experiment; after it was deleted, what was last known of it."""
        self._last = self._environment.experiment(self._last.plan.key) or self._last
        return self._last

    @property
    def _seen(self) -> Sequence[Seen]:
        return self._looks.value or ()

    def _stages(self) -> list[StageView]:
        return views.stages(self._experiment)

    def _reasons(self) -> list[str]:
        return views.reasons(self._experiment, self._seen)

    @property
    def _flag(self) -> flag_pb2.Flag:
        """The flag; where it is gone, one without anything."""
        return self._environment.flag(self._last.plan.flag) or flag_pb2.Flag()

    def _head(self) -> None:
        page, plan = self._page, self._last.plan
        with node("div", "head"):
            with node("span", "crumbs"):
                link(self._environment.name, f"/{self._environment.name}")
                Text("span", " / ")
                link(plan.flag, self._flag_path)
            Text("h1", plan.key)
            state = Text("span", "", "pill", role="status")
            Text("span", f"{plan.treatment} against {plan.control}", "quiet")
            actions = None
            if page.session.operates:
                actions = ExperimentActions(page, self._environment, plan.key)
            if plan.description:
                Text("p", plan.description, "lead")
            why = Text("p", "", "why")
            verdict = Text("p", "", "lead")

        def draw() -> None:
            found = self._experiment
            gone = self._environment.experiment(plan.key) is None
            state.say(Said("deleted", Tone.MUTED) if gone else status_words(found.state.status))
            reason = f" Why: {found.state.reason}." if found.state.reason else ""
            why.text = headline(found) + reason.replace("..", ".")
            said = verdict_words(found.state.verdict)
            looked = page.zone.stamp(found.state.looked)
            going_on = found.state.looked is not None and found.state.status in ACTIVE
            verdict.text = f"Last look, {looked}: {said.text}." if going_on else ""
            if actions is not None:
                actions.show(None if gone else found.state.status)

        page.draw(draw)

    def _evidence(self) -> None:
        plan, zone = self._last.plan, self._page.zone
        with section("Evidence", hint="Bounds hold however often one looks."):
            ratio = Text("p", "", "note")
            with node("div", "charts"):
                for each in views.judged(plan, self._environment.flag(plan.flag)):
                    self._judged(each)
                self._page.chart(
                    views.RATIO_LABEL,
                    lambda: views.ratio_chart(self._seen, zone),
                )
        self._page.draw(lambda: ratio.say(views.ratio_said(self._experiment, self._seen)))

    def _judged(self, each: views.Judged) -> None:
        zone = self._page.zone
        with node("div"):
            self._page.chart(each.label, lambda: views.evidence_chart(each, self._seen, zone))
            words = Text("p", "", "note")

        def draw() -> None:
            words.text = views.evidence_words(each, self._seen)

        self._page.draw(draw)


def _show_stages(stages: Sequence[StageView]) -> None:
    for each in stages:
        current = {"aria_current": "step"} if each.place == "now" else {}
        with node("li", f"{each.place} {each.said.tone}", **current):
            Text("span", each.name, "name")
            Text("span", each.said.text, "state")
            with node("ul"):
                for line in each.lines:
                    Text("li", line.text, line.tone)


def _show_reasons(reasons: Sequence[str]) -> None:
    """Show why the present stage is not left yet."""
    if reasons:
        Text("p", "The last look says:", "note")
        with node("ul", "reasons"):
            for reason in reasons:
                Text("li", reason)
