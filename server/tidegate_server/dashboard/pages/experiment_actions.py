"""What operators ask of an experiment."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from nicegui import ui

from tidegate_server.dashboard.environment import Environment
from tidegate_server.dashboard.pages.dialogs import Asker, Dialog
from tidegate_server.dashboard.pages.kit import Text, node
from tidegate_server.dashboard.pages.page import Page
from tidegate_server.domain.experiments.plan import Plan
from tidegate_server.domain.experiments.records import Experiment
from tidegate_server.domain.experiments.requests import ALLOWED, Command, Request
from tidegate_server.domain.experiments.state import Status
from tidegate_server.errors import Refused

_EFFECTS: Mapping[Request, str] = MappingProxyType(
    {
        Request.START: "It goes through its stages, each with a larger share for {treatment}.",
        Request.PAUSE: "It goes no further. The split stays, and protection goes on: harm still "
        "rolls back.",
        Request.RESUME: "It goes on; the stage gets its share again, and its clock starts anew.",
        Request.APPROVE: "It goes on to the next stage, in which {treatment} gets a larger share.",
        Request.SKIP: "What the present stage waits for is skipped. This is no approval.",
        Request.ABORT: "It ends: all units go back to {control}.",
        Request.PROMOTE: "{treatment} gets all units now, without further stages.",
        Request.RETRY: "It begins once more, from the first stage.",
    }
)
_HARSH = (Request.ABORT, Request.PROMOTE)


class ExperimentActions:
    """The buttons and dialogs of one experiment's page."""

    def __init__(self, page: Page, environment: Environment, key: str) -> None:
        self._page = page
        self._environment = environment
        self._key = key
        self._buttons: dict[Request, ui.button] = {}
        with node("div", "actions"):
            for request in Request:
                button = ui.button(
                    f"{request.title()} …", color=None, on_click=partial(self._ask, request)
                )
                button.props("flat no-caps dense")
                button.classes("danger" if request in _HARSH else "plain")
                self._buttons[request] = button

    def show(self, status: Status | None) -> None:
        """Offer what makes sense now. status: None: the experiment is gone."""
        for request, button in self._buttons.items():
            button.set_visibility(status in ALLOWED[request])

    def _ask(self, request: Request) -> None:
        experiment = self._known()
        dialog = Dialog(
            self._page,
            f"{request.title()} {self._key}?",
            name=f"{request} {self._key}",
            label=request.title(),
            danger=request in _HARSH,
        )
        with dialog.body:
            Text("p", _effect(request, experiment.plan))
            asker = Asker(self._page)

        async def act() -> str:
            actor, why = asker.take()
            now, then = self._known().state, experiment.state
            if (now.status, now.stage, now.attempt) != (then.status, then.stage, then.attempt):
                raise Refused("It has moved on since this was opened: look again, then decide.")
            command = Command(request, actor, why)
            await self._environment.api.command(self._key, command)
            return f"{self._key}: {request}, asked for by {actor}"

        dialog.act = act
        dialog.open()

    def _known(self) -> Experiment:
        found = self._environment.experiment(self._key)
        if found is None:
            raise Refused(f"experiment {self._key!r} is gone")
        return found


def _effect(request: Request, plan: Plan) -> str:
    return _EFFECTS[request].format(treatment=plan.treatment, control=plan.control)
