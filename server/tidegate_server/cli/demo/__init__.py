"""`tidegate demo`: a real model version rolled out, on a stack of its own, and judged."""

from tidegate_server.cli.demo.command import demo

__all__ = ["demo"]
