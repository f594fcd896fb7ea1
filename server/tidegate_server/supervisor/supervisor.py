"""Starts roles one after the other, restarts those that die, and stops them in reverse order."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from tidegate_server.supervisor.restarts import RestartPolicy
from tidegate_server.supervisor.role import (
    AllReady,
    Died,
    Role,
    RoleEvent,
    RoleFailed,
    Started,
    Stopped,
    cause_of,
    log_tail,
)
from tidegate_server.supervisor.tether import tethered

Notify = Callable[[RoleEvent], None]
_T = TypeVar("_T")


class Supervisor:
    """Runs roles until it is told to stop.

    grace: seconds a role has to end after SIGTERM, before it is killed; > 0.
    notify: is told everything that happens, in the event loop's thread.
    """

    def __init__(
        self, roles: Sequence[Role], *, policy: RestartPolicy, grace: float, notify: Notify
    ) -> None:
        self._keepers = [_Keeper(role, policy, grace, notify) for role in roles]
        self._policy = policy
        self._notify = notify

    async def run(self, stop: asyncio.Event) -> None:
        """Start every role, each as soon as the one before is ready; return once all have ended.

        Raises:
            RoleFailed: a role died `policy.start_attempts` times before it was ready; the others
                were stopped.
        """
        running: list[asyncio.Future[None]] = []
        try:
            async with _background(stop.wait()) as stopping:
                for keeper in self._keepers:
                    running.append(asyncio.ensure_future(keeper.run()))
                    await self._until_ready(keeper, [stopping, *running])
                    if stopping.done():
                        return
                self._notify(AllReady())
                await _first_done([stopping, *running])
        finally:
            for keeper, task in reversed(list(zip(self._keepers, running, strict=False))):
                keeper.stop()
                await asyncio.wait([task])
        for task in running:
            task.result()

    async def _until_ready(self, keeper: "_Keeper", watched: list[asyncio.Future[Any]]) -> None:
        async with _background(keeper.role.ready()) as ready, _background(keeper.gave_up()) as lost:
            await _first_done([ready, lost, *watched])
            if lost.done():
                raise RoleFailed(
                    f"the {keeper.role.name} ended {self._policy.start_attempts} times before it "
                    f"answered ({keeper.cause}); the end of {keeper.role.log}:\n"
                    + (log_tail(keeper.role.log) or "(the log is empty)")
                )


class _Keeper:
    """Keeps one role running."""

    def __init__(self, role: Role, policy: RestartPolicy, grace: float, notify: Notify) -> None:
        self.role = role
        self.cause = ""
        self._policy = policy
        self._grace = grace
        self._notify = notify
        self._stop = asyncio.Event()
        self._gave_up = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def gave_up(self) -> None:
        """Return once the role has failed as often as a start allows."""
        await self._gave_up.wait()

    async def run(self) -> None:
        """Start the role, again and again, until it is stopped."""
        loop = asyncio.get_running_loop()
        failures = restarts = 0
        while not self._stop.is_set():
            began = loop.time()
            self.cause = await self._one_life(restarts)
            if self._stop.is_set():
                return
            restarts += 1
            failures = self._policy.failures(failures, loop.time() - began)
            delay = self._policy.delay(failures, random.random())  # noqa: S311 - jitter
            self._notify(Died(self.role, self.cause, failures, delay))
            if failures >= self._policy.start_attempts:
                self._gave_up.set()
            async with _background(self._stop.wait()) as stopping:
                await asyncio.wait([stopping], timeout=delay)

    async def _one_life(self, restarts: int) -> str:
        """Run the role's process once; return why it ended."""
        try:
            process = await _start(self.role)
        except OSError as error:
            return f"cannot be started: {error}"
        try:
            self._notify(Started(self.role.name, process.pid, restarts))
            async with _background(process.wait()) as ended, _background(self._stop.wait()) as stop:
                await _first_done([ended, stop])
            if self._stop.is_set():
                await self._end(process)
            return cause_of(await process.wait())
        finally:
            if process.returncode is None:
                process.kill()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        killed = False
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), self._grace)
            except TimeoutError:
                killed = True
                process.kill()
        self._notify(Stopped(self.role.name, killed))


async def _start(role: Role) -> asyncio.subprocess.Process:
    with role.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *tethered(role.command),
            env=dict(role.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor alone
        )


@contextlib.asynccontextmanager
async def _background(work: Awaitable[_T]) -> AsyncIterator[asyncio.Future[_T]]:
    """Do `work` while the block runs, and no longer."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _first_done(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Return when the first task ends; raise what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
