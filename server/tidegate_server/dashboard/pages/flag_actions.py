"""What operators do with a flag: another split, another text, the kill switch."""

from collections.abc import Sequence
from typing import TypeVar

from nicegui import ui

from tidegate.v1 import flag_pb2, flag_service_pb2
from tidegate_server.dashboard.api import Api
from tidegate_server.dashboard.environment import Environment, Report
from tidegate_server.dashboard.feeds import Feed
from tidegate_server.dashboard.pages.dialogs import Dialog
from tidegate_server.dashboard.pages.kit import Text, node
from tidegate_server.dashboard.pages.page import Page
from tidegate_server.dashboard.texts import FlagTexts
from tidegate_server.domain.checks import percent
from tidegate_server.domain.experiments.state import ACTIVE
from tidegate_server.errors import ConfigurationError, Refused, TidegateServerError

T = TypeVar("T")


class FlagActions:
    """The dialogs of one flag's page."""

    def __init__(
        self,
        page: Page,
        environment: Environment,
        key: str,
        texts: FlagTexts,
        report: Feed[Report],
    ) -> None:
        self._page = page
        self._environment = environment
        self._key = key
        self._texts = texts
        self._report = report

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
        shown: dict[str, str] = {}

        async def preview() -> None:
            dialog.confirm.disable()
            shown.clear()
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
            shown.update(asked)
            dialog.confirm.set_enabled(bool(answer.moves))

        async def apply() -> str:
            split = self._texts.split(_as_shown(_texts(fields), shown))
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
        """Return how many units the report has; None where that is not known."""
        report = self._report.value
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

        shown: list[str] = []

        async def check() -> None:
            dialog.confirm.disable()
            shown.clear()
            text = str(area.value)
            try:
                wanted = self._texts.read(text, flag)
                lines = self._texts.changes(flag, wanted)
                moves = await self._moves(flag, wanted)
            except TidegateServerError as error:
                effect.clear()
                dialog.complain(str(error))
                return
            if text != area.value:
                return  # a later answer is on its way
            dialog.complain("")
            effect.clear()
            with effect:
                Text("p", "What changes:" if lines else "Nothing changes.")
                with node("ul", "moves"):
                    for line in lines:
                        with node("li"):
                            Text("code", line)
                if moves is not None:
                    _show_moves(moves, self._units())
            shown.append(text)
            dialog.confirm.set_enabled(bool(lines))

        async def apply() -> str:
            (text,) = _as_shown([str(area.value)], shown)
            changed = await self._api.update_flag(self._texts.read(text, flag))
            return f"{flag.key} is changed, at revision {changed.revision}"

        area.on("update:model-value", check, throttle=0.4, leading_events=False)
        dialog.confirm.disable()
        dialog.act = apply
        dialog.open()

    async def _moves(
        self, before: flag_pb2.Flag, after: flag_pb2.Flag
    ) -> flag_service_pb2.PreviewSplitResponse | None:
        """Return what another split of the same variants would move; None if it is no other."""
        known = {variant.key for variant in before.variants}
        if (
            list(after.split) == list(before.split)
            or {share.variant for share in after.split} - known
        ):
            return None
        return await self._api.preview_split(before.key, after.split)

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


def _as_shown(asked: T, shown: T) -> T:
    """Return what is asked for, if it is what was shown to have which effect."""
    if asked != shown:
        raise Refused("It was changed since its effect was shown: look again, then apply.")
    return asked


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
