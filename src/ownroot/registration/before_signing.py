"""Asking a customer's hooks before anything is signed, with a time limit, and failing closed.

Each call has a thread of its own: a hook may wait for a database, and one that never returns must hold up neither the
event loop nor the next device. Hung calls are counted; when too many hang, devices are refused at once.
"""

import asyncio
import contextlib
import threading
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from ownroot.errors import InvalidInputError, RefusedError, UnavailableError
from ownroot.pki.names import parse_resource_name
from ownroot.registration.applicant import Applicant
from ownroot.registration.hook_loading import Named
from ownroot.registration.hooks import Allow, BeforeSigning, Enrich, Refuse
from ownroot.registration.hooks import Applicant as Asked
from ownroot.registration.known_devices import Placement

_CALLS_AT_ONCE: Final = 64
_REASON_CHARS: Final = 300
_RETRY_SECONDS: Final = 10


class HookQuestions:
    """Asks all hooks of a site, on one event loop."""

    def __init__(self, hooks: Sequence[Named[BeforeSigning]], *, limit_seconds: float) -> None:
        self._hooks = tuple(hooks)
        self._limit_seconds = limit_seconds
        self._running = 0

    @property
    def are_asked(self) -> bool:
        """Whether there is any hook."""
        return bool(self._hooks)

    async def ask(self, applicant: Applicant, placement: Placement) -> Placement:
        """Return the placement as the hooks want it.

        Raises:
            RefusedError: `refused-by-hook`, with the hook's reason.
            UnavailableError: `hook-failed`, `hook-too-slow`, `hooks-busy`; nothing was signed.
        """
        for hook in self._hooks:
            verdict = await self._call(hook, _asked(applicant, placement))
            match verdict:
                case Allow():
                    pass
                case Refuse(reason):
                    raise RefusedError("refused-by-hook", _reason(reason))
                case Enrich():
                    placement = _enriched(hook.name, applicant.uuid, placement, verdict)
                case _:
                    why = f"returned {type(verdict).__name__}, not Allow, Refuse or Enrich"
                    raise _failed(hook.name, applicant.uuid, why)
        return placement

    async def _call(self, hook: Named[BeforeSigning], asked: Asked) -> object:
        if self._running >= _CALLS_AT_ONCE:
            raise UnavailableError(
                "hooks-busy",
                f"{_CALLS_AT_ONCE} calls of this site's hooks are still running. Nothing was signed; try again.",
                retry_after=_RETRY_SECONDS,
            )
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._running += 1
        threading.Thread(target=self._run, args=(hook, asked, loop, answer), daemon=True).start()
        try:
            async with asyncio.timeout(self._limit_seconds):
                return await answer
        except TimeoutError:
            raise UnavailableError(
                "hook-too-slow",
                f"This site asks before it signs, and had no answer within {self._limit_seconds:g} seconds. "
                "Nothing was signed; try again.",
                retry_after=_RETRY_SECONDS,
                context={"hook": hook.name, "uuid": asked.uuid},
            ) from None

    def _run(
        self,
        hook: Named[BeforeSigning],
        asked: Asked,
        loop: asyncio.AbstractEventLoop,
        answer: "asyncio.Future[Any]",
    ) -> None:
        result, error = None, None
        try:
            result = hook.call(asked)
        except BaseException as exc:  # noqa: BLE001 - a customer's code; whatever it raises refuses this device
            error = _failed(hook.name, asked.uuid, f"{type(exc).__name__}: {exc}", lines=_lines(exc))
        with contextlib.suppress(RuntimeError):  # the server was stopped meanwhile
            loop.call_soon_threadsafe(self._settle, answer, result, error)

    def _settle(self, answer: "asyncio.Future[Any]", result: object, error: Exception | None) -> None:
        self._running -= 1
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)


def _asked(applicant: Applicant, placement: Placement) -> Asked:
    return Asked(
        uuid=applicant.uuid,
        name=placement.name,
        hardware_id=applicant.hardware_id,
        factory=applicant.csr.factory,
        group=placement.group,
        is_production=applicant.csr.production,
        key_sha256=applicant.spki_sha256.hex(),
        operator=applicant.sender.name,
        client_address=applicant.sender.address,
        at=applicant.at,
    )


def _lines(exc: BaseException) -> str:
    """Say which lines led to an error, from the hook's own down to the one that raised; ours are left out."""
    _ours, *theirs = traceback.extract_tb(exc.__traceback__)
    return " > ".join(f"{frame.filename}:{frame.lineno}" for frame in theirs)


def _enriched(hook: str, uuid: str, placement: Placement, verdict: Enrich) -> Placement:
    try:
        return replace(
            placement,
            name=parse_resource_name(verdict.name or placement.name),
            group=placement.group if verdict.group is None else parse_resource_name(verdict.group),
            tags=placement.tags if verdict.tags is None else tuple(parse_resource_name(tag) for tag in verdict.tags),
        )
    except (InvalidInputError, TypeError) as exc:
        raise _failed(hook, uuid, f"enriched a device with a name, group or tag that is none: {exc}") from exc


def _reason(text: object) -> str:
    words = " ".join(str(text).split())[:_REASON_CHARS]
    return words if words.isprintable() and words else "This site refuses the device and gives no reason."


def _failed(hook: str, uuid: str, why: str, *, lines: str = "") -> UnavailableError:
    return UnavailableError(
        "hook-failed",
        "This site asks before it signs, and asking failed. Nothing was signed; its operator finds why in the log.",
        retry_after=_RETRY_SECONDS,
        context={"hook": hook, "uuid": uuid, "why": why} | ({"lines": lines} if lines else {}),
    )
