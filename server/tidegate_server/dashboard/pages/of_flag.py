"""What the pages of one flag share."""

from tidegate.v1 import flag_pb2
from tidegate_server.dashboard.environment import Environment
from tidegate_server.dashboard.pages.page import Page


class PageOfFlag:
    """A page of a flag under construction."""

    def __init__(self, page: Page, environment: Environment, flag: flag_pb2.Flag) -> None:
        self._page = page
        self._environment = environment
        self._last = flag
        self._path = f"/{environment.name}/flags/{flag.key}"

    @property
    def _flag(self) -> flag_pb2.Flag:
        """The flag; after it was deleted, what was last known of it."""
        self._last = self._environment.flag(self._last.key) or self._last
        return self._last

    def _variants(self) -> list[str]:
        return [variant.key for variant in self._flag.variants]
