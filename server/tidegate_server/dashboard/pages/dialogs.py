"""Dialogs: what will happen, who wants it, and what came of it."""

import json
from collections.abc import Awaitable, Callable

import structlog
from nicegui import ui

from tidegate_server.dashboard.feeds import BUG
from tidegate_server.dashboard.pages.kit import Text, node
from tidegate_server.dashboard.pages.page import Page
from tidegate_server.errors import Refused, TidegateServerError

log = structlog.get_logger(__name__)

LONGEST_ACTOR, LONGEST_WHY = 200, 1_000


class Dialog:
    """A dialog that says what will happen before it does; it is gone when it is closed.

    name: of what is done, for the log. label: of the button that does it.
    """

    def __init__(
        self,
        page: Page,
        title: str,
        *,
        name: str,
        label: str,
        danger: bool = False,
        wide: bool = False,
    ) -> None:
        self._page = page
        self._name = name
        box = f"dialog {'wide' if wide else ''}"
        with page.main, ui.dialog() as self._dialog, node("div", box):
            self._dialog.props["aria-labelledby"] = Text("h2", title).html_id
            self.body = node("div")
            self._problem = Text("p", "", "problem", role="alert")
            with node("div", "buttons"):
                cancel = ui.button("Cancel", color=None, on_click=self._dialog.close)
                cancel.props("no-caps unelevated data-autofocus").classes("plain")
                self.confirm = ui.button(label, color=None, on_click=self._confirm)
                self.confirm.props("no-caps unelevated").classes("danger" if danger else "primary")
        self._dialog.on("hide", self._dialog.delete)
        self.act: Callable[[], Awaitable[str]] | None = None

    def open(self) -> None:
        """Show it."""
        self._dialog.open()

    def complain(self, problem: str) -> None:
        """Say what is wrong; empty: nothing."""
        self._problem.text = problem

    async def _confirm(self) -> None:
        """Do it, if the session still allows it."""
        page = self._page
        if not page.alive() or self.act is None:
            return
        if not page.session.operates:
            self.complain("Your token allows looking only.")
            return
        self.confirm.disable()
        try:
            done = await self.act()
        except TidegateServerError as error:
            log.warning("refused", what=self._name, session=page.session.id, cause=str(error))
            self._refuse(str(error))
        except Exception:
            log.exception("action_failed", what=self._name, session=page.session.id)
            self._refuse(BUG)
        else:  # the button stays off: a double click comes again while the dialog fades
            log.info("done", what=self._name, session=page.session.id)
            self._dialog.close()
            ui.notify(done, position="bottom", close_button="OK")

    def _refuse(self, problem: str) -> None:
        self.complain(problem)
        self.confirm.enable()


class Asker:
    """The fields that say who asks, and why; the name is kept by the browser."""

    def __init__(self, page: Page) -> None:
        self._actor = ui.input("Your name (goes into the log)", value=page.actor)
        self._actor.props(f"dense outlined autofocus maxlength={LONGEST_ACTOR}")
        self._why = ui.input("Why (optional)").props(f"dense outlined maxlength={LONGEST_WHY}")
        self._page = page

    def take(self) -> tuple[str, str]:
        """Return actor and reason.

        Raises:
            Refused: there is no name.
        """
        actor = str(self._actor.value or "").strip()
        if not actor:
            raise Refused("Say who asks: your name goes into the log.")
        self._page.actor = actor
        ui.run_javascript(f"tidegate.keep('tidegate_actor', {json.dumps(actor)})")
        return actor, str(self._why.value or "").strip()
