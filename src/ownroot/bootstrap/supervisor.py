"""The parent of a running server: starts the API and the gateway workers, restarts what dies, stops all of it.

Children outlive nothing: they are told to stop, given a few seconds, then killed; and if the supervisor itself is
killed they notice the end of their standard input. A child that dies is started again after a pause that doubles, so
that a fault that repeats does not eat the machine; one that never came up at the first start ends the whole start.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog

from ownroot.bootstrap.jobs import ApiJob, Job
from ownroot.errors import UnavailableError
from ownroot.keystore.kek import KEK_VARIABLE
from ownroot.keystore.labels import HSM_PIN_VARIABLE, ONLINE_CA_PIN_VARIABLE

_READY_TIMEOUT_SECONDS = 60.0
_STOP_TIMEOUT_SECONDS = 8.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_STABLE_AFTER_SECONDS = 60.0
_SECRET_VARIABLES = frozenset({KEK_VARIABLE, HSM_PIN_VARIABLE, ONLINE_CA_PIN_VARIABLE})


@dataclass(slots=True)
class _Child:
    name: str
    job: Job
    process: asyncio.subprocess.Process | None = None
    came_up: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Runs jobs in processes of their own until it is told to stop.

    Args:
        on_ready: called once, when every child serves.
    """

    def __init__(self, jobs: Sequence[tuple[str, Job]], on_ready: Callable[[], None]) -> None:
        self._children = [_Child(name, job) for name, job in jobs]
        self._on_ready = on_ready
        self._stopping = asyncio.Event()
        self._log = structlog.get_logger("ownroot.supervisor")

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            UnavailableError: `part-failed`: a part of the server did not come up; its own words are in the log.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        keepers = [asyncio.create_task(self._keep(child)) for child in self._children]
        try:
            await self._wait_until_up(keepers)
            await self._wait_until_told(keepers)
        finally:
            self._stopping.set()
            await self._stop_all()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def _wait_until_up(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        up = asyncio.create_task(self._all_up())
        told = asyncio.create_task(self._stopping.wait())
        tasks: list[asyncio.Task[Any]] = [up, told, *keepers]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if up.done():
            self._on_ready()
        else:
            up.cancel()
            _raise_first(keepers)

    async def _all_up(self) -> None:
        for child in self._children:
            await child.came_up.wait()

    async def _wait_until_told(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        told = asyncio.create_task(self._stopping.wait())
        waiting: list[asyncio.Task[Any]] = [told, *keepers]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        _raise_first(keepers)

    async def _keep(self, child: _Child) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            started = time.monotonic()
            status = await self._run_once(child)
            if self._stopping.is_set():
                return
            if not child.came_up.is_set():
                raise UnavailableError(
                    "part-failed", f"The {child.name} did not start (exit status {status}).", retry_after=60
                )
            if time.monotonic() - started > _STABLE_AFTER_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            self._log.error("a part of the server died", part=child.name, status=status, restart_in_seconds=pause)
            await self._sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _run_once(self, child: _Child) -> int:
        descriptors = (child.job.socket_fd,) if isinstance(child.job, ApiJob) else ()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "ownroot.bootstrap.child",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=descriptors,
                env=_environment_of_parts(),
            )
        except OSError as error:
            # No memory or no process left: that passes, and the parts that run must not pay for it.
            self._log.error("a part of the server cannot be started", part=child.name, reason=error.strerror)
            return os.EX_OSERR
        child.process = process
        try:
            await self._hand_over(child, process)
            return await process.wait()
        finally:
            child.process = None
            if process.stdin is not None:
                process.stdin.close()

    async def _hand_over(self, child: _Child, process: asyncio.subprocess.Process) -> None:
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("a child was started without pipes")
        try:
            stdin.write(msgspec.json.encode(child.job) + b"\n")
            await stdin.drain()
            line = await asyncio.wait_for(stdout.readline(), _READY_TIMEOUT_SECONDS)
        except (TimeoutError, OSError):
            process.kill()
            return
        if line:
            child.came_up.set()

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _stop_all(self) -> None:
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            _signal(process, signal.SIGTERM)
        exits = [asyncio.create_task(process.wait()) for process in running]
        if exits:
            _, late = await asyncio.wait(exits, timeout=_STOP_TIMEOUT_SECONDS)
            if late:
                self._log.warning("killing parts that did not stop", parts=len(late))
        for process in running:
            _signal(process, signal.SIGKILL)


def _environment_of_parts() -> dict[str, str]:
    """Each part is told in its job what it may know: its own sub-keys, and the API alone its token's PIN."""
    return {name: value for name, value in os.environ.items() if name not in _SECRET_VARIABLES}


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        return


def _raise_first(keepers: Sequence[asyncio.Task[None]]) -> None:
    for keeper in keepers:
        if keeper.done() and not keeper.cancelled() and (error := keeper.exception()) is not None:
            raise error
