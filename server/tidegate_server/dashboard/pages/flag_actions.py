"""What operators do with a flag: another split, another text, the kill switch."""

from collections.abc import Sequence

from nicegui import ui

from tidegate.v1 import flag_pb2, flag_service_pb2
from tidegate_server.dashboard.api import Api
from tidegate_server.dashboard.environment import Environment
from tidegate_server.dashboard.pages.dialogs import Dialog
from tidegate_server.dashboard.pages.kit import Text, node
from tidegate_server.dashboard.pages.page import Page
from tidegate_server.dashboard.texts import FlagTexts
from tidegate_server.domain.checks import percent
from tidegate_server.domain.experiments.state import ACTIVE
from tidegate_server.errors import ConfigurationError, TidegateServerError


class FlagActions:
    """The dialogs of one flag's page."""

    def __init__(self, page: Page, environment: Environment, key: str, texts: FlagTexts) -> None:
        self._page = page
        self._environment = environment
        self._key = key
        self._texts = texts

    @property
    def _api(self) -> Api:
        return self._environment.api

    def _flag(self) -> flag_pb2.Flag:
        """Return the flag as it is known now, for a change to begin from."""
        known = self._environment.flag(self._key)
        if known is None:
            raise ConfigurationError(f"flag {self._key!r} is gone")
        flag = flag_pb2.Flag()
        flag.CopyFrom(known)
        return flag

    def change_split(self) -> None:
        """Ask for another split, and say who would move before it is applied."""
        flag = self._flag()
        dialog = Dialog(
            self._page, f"Split of {flag.key}", name=f"split of {flag.key}", label="Apply"
        )
        now = {share.variant: share.share_ppm for share in flag.split}
        with dialog.body:
            Text("p", "Shares are percentages, and add up to 100.", "quiet")
            self._warn()
            with node("div", "shares"):
                fields = {
                    variant.key: ui.input(
                        variant.key, value=percent(now.get(variant.key, 0)).removesuffix(" %")
                    ).props("dense outlined suffix=% inputmode=decimal")
                    for variant in flag.variants
                }
            next(iter(fields.values())).props("autofocus")
            effect = node("div", aria_live="polite")

        async def preview() -> None:
            dialog.confirm.disable()
            asked = _texts(fields)
            try:
                answer = await self._api.preview_split(flag.key, self._texts.split(asked))
            except TidegateServerError as error:
                effect.clear()
                dialog.complain(str(error))
                return
            if asked != _texts(fields):
                return  # a later answer is on its way
            dialog.complain("")
            effect.clear()
            with effect:
                _show_moves(answer, self._units())
            dialog.confirm.set_enabled(bool(answer.moves))

        async def apply() -> str:
            split = self._texts.split(_texts(fields))
            answer = await self._api.update_split(flag.key, split, flag.revision)
            moved = sum(move.share_ppm for move in answer.moves)
            return (
                f"{flag.key}: {percent(moved)} of the units moved, revision {answer.flag.revision}"
            )

        for field in fields.values():
            field.on("update:model-value", preview, throttle=0.3, leading_events=False)
        dialog.confirm.disable()
        dialog.act = apply
        dialog.open()

    def _warn(self) -> None:
        """Say which experiment a change by hand would pause."""
        for each in (self._environment.experiments.value or {}).values():
            if each.plan.flag == self._key and each.state.status in ACTIVE:
                Text("p", f"A change by hand pauses the experiment {each.plan.key}.", "warn")

    def _units(self) -> float | None:
        """Return how many units the present phase has seen; None where that is not known."""
        report = self._environment.report(self._key).value
        if report is None or not all(each.HasField("units") for each in report.variants):
            return None
        return sum(each.units for each in report.variants)

    def edit(self) -> None:
        """Ask for another text of the flag, and say what changes before it is applied."""
        flag = self._flag()
        dialog = Dialog(
            self._page,
            f"Edit {flag.key}",
            name=f"edit of {flag.key}",
            label="Apply",
            wide=True,
        )
        with dialog.body:
            Text("p", "The flag as a file; docs/flags.md tells what each field means.", "quiet")
            area = ui.textarea("Flag file", value=self._texts.write(flag))
            area.props("outlined autofocus rows=18 spellcheck=false")
            effect = node("div", aria_live="polite")

        def check() -> None:
            effect.clear()
            dialog.confirm.disable()
            try:
                lines = self._texts.changes(flag, self._texts.read(str(area.value), flag))
            except ConfigurationError as error:
                dialog.complain(str(error))
                return
            dialog.complain("")
            with effect:
                Text("p", "What changes:" if lines else "Nothing changes.")
                with node("ul", "moves"):
                    for line in lines:
                        with node("li"):
                            Text("code", line)
            dialog.confirm.set_enabled(bool(lines))

        async def apply() -> str:
            changed = await self._api.update_flag(self._texts.read(str(area.value), flag))
            return f"{flag.key} is changed, at revision {changed.revision}"

        area.on("update:model-value", check, throttle=0.4, leading_events=False)
        dialog.confirm.disable()
        dialog.act = apply
        dialog.open()

    def switch(self) -> None:
        """Ask to kill the flag, or to revive it."""
        flag = self._flag()
        verb = "Revive" if flag.killed else "Kill"
        dialog = Dialog(
            self._page,
            f"{verb} {flag.key}?",
            name=f"{verb.lower()} {flag.key}",
            label=f"{verb} the flag",
            danger=not flag.killed,
        )
        with dialog.body:
            Text(
                "p",
                "Overrides, rules and split decide again, as before."
                if flag.killed
                else f"Everyone is given {flag.default_variant}, at once. A running experiment on "
                "this flag is aborted.",
            )

        async def apply() -> str:
            wanted = self._flag()
            wanted.killed = not flag.killed
            changed = await self._api.update_flag(wanted)
            state = "killed" if changed.killed else "on again"
            return f"{flag.key} is {state}, at revision {changed.revision}"

        dialog.act = apply
        dialog.open()


def _texts(fields: dict[str, ui.input]) -> dict[str, str]:
    return {name: str(field.value or "0") for name, field in fields.items()}


def _show_moves(answer: flag_service_pb2.PreviewSplitResponse, units: float | None) -> None:
    if not answer.moves:
        Text("p", "No unit would move.")
        return
    Text("p", f"{percent(answer.moved_ppm)} of all units would change variant{_of(answer, units)}:")
    with node("ul", "moves"):
        for move in _largest(answer.moves):
            Text(
                "li",
                f"{move.from_variant} → {move.to_variant}: {percent(move.share_ppm)} of the units",
            )


def _of(answer: flag_service_pb2.PreviewSplitResponse, units: float | None) -> str:
    if not units:
        return ""
    return f", about {units * answer.moved_ppm / 1_000_000:,.0f} of the {units:,.0f} seen so far"


def _largest(moves: Sequence[flag_service_pb2.Move]) -> Sequence[flag_service_pb2.Move]:
    return sorted(moves, key=lambda move: -move.share_ppm)
