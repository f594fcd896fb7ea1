"""A table of `cells`, drawn in the browser."""

from nicegui.element import Element

from tidegate_server.dashboard.cells import Table


class Grid(Element, component="grid.js"):
    """A table that is sent again only where it changes. search: the label of a filter over rows."""

    def __init__(self, table: Table, *, search: str = "") -> None:
        super().__init__()
        self._props.update(table.props())
        self._props["filter"] = search
        self._shown = table

    def show(self, table: Table) -> None:
        """Show this table from now on."""
        if table != self._shown:
            self._shown = table
            self._props.update(table.props())
            self.update()
