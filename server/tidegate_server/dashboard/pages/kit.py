"""Elements of pages: plain HTML with text in it, never markup that somebody else wrote."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from tidegate_server.dashboard.charts import Options
from tidegate_server.experiment_text import Said


class Text(TextElement):
    """An element with text in it: `text` is sent when it changes."""

    def __init__(self, tag: str, text: str = "", classes: str = "", **attributes: Any) -> None:
        super().__init__(tag=tag, text=text)
        self.classes(classes)
        self._tone = ""
        self._props.update({name.replace("_", "-"): value for name, value in attributes.items()})

    def say(self, said: Said) -> None:
        """Show words with their tone."""
        self.text = said.text
        if said.tone != self._tone:
            self.classes(add=said.tone, remove=self._tone)
            self._tone = said.tone


def node(tag: str, classes: str = "", **attributes: Any) -> Element:
    """Return an element that holds others."""
    element = Element(tag).classes(classes)
    element.props.update({name.replace("_", "-"): value for name, value in attributes.items()})
    return element


def link(text: str, target: str, classes: str = "") -> Text:
    """Return a link to a page of ours."""
    return Text("a", text, classes, href=target)


@contextmanager
def section(title: str, classes: str = "", *, hint: str = "") -> Iterator[Element]:
    """Begin a section with a heading; what is made in the block is in it."""
    with node("section", f"section {classes}") as made:
        Text("h2", title)
        if hint:
            Text("p", hint, "hint")
        yield made


Target: TypeAlias = tuple[str, str, bool]
"""A link of several: its text, where it leads, and whether that is where we are."""


def choices(label: str, targets: Sequence[Target]) -> None:
    """Show links of which one is where we are."""
    with node("nav", "spans", aria_label=label):
        for text, target, here in targets:
            current = {"aria_current": "true"} if here else {}
            Text("a", text, href=target, **current)


class Chart:
    """A chart that is sent again only where its options change.

    label: what it shows. Its figures are beside it as text, so it is one image to screen readers.
    """

    def __init__(self, label: str, options: Options, classes: str = "") -> None:
        with node("figure", f"chart {classes}", role="img", aria_label=label):
            Text("figcaption", label)
            self._shown = options
            self._chart = ui.echart(options, renderer="svg")

    def show(self, options: Options) -> None:
        """Show these options from now on."""
        if options != self._shown:
            self._shown = options
            self._chart.props["options"] = options
            self._chart.update()
