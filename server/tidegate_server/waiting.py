"""Waiting that a stop ends."""

import asyncio
import random


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait for `seconds` (>= 0), or until `stop` is set."""
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({stopping}, timeout=seconds)
    stopping.cancel()


async def jittered_pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait between half of `seconds` (>= 0) and all of it, or until `stop` is set."""
    await pause(stop, seconds * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
