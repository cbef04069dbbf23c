"""Telling a customer's `after_signing` hook, through the outbox: late and often enough, never lost."""

import threading
from concurrent.futures import Future
from typing import Any

from ownroot.pki.encoding import load_certificate_der
from ownroot.registration.announcements import device_registered
from ownroot.registration.delivery import Effect, Outcome
from ownroot.registration.hook_loading import Named
from ownroot.registration.hooks import AfterSigning, DeviceRegistered
from ownroot.registration.outbox import HOOK_PREFIX, Due


class HookTarget:
    """One hook as a target. A call that hangs is waited for so long; the next one is made when it has returned."""

    def __init__(self, hook: Named[AfterSigning], *, limit_seconds: float) -> None:
        self.name = f"{HOOK_PREFIX}{hook.name}"
        self._hook = hook
        self._limit_seconds = limit_seconds
        self._under_way: Future[None] | None = None

    def deliver(self, due: Due) -> Outcome:
        """Call the hook once."""
        if self._under_way is not None and not self._under_way.done():
            return Outcome(Effect.NOT_NOW, "an earlier call of the hook has not returned yet")
        registered = device_registered(due, load_certificate_der(due.certificate_der))
        under_way: Future[None] = Future()
        self._under_way = under_way
        threading.Thread(target=self._run, args=(registered, under_way), daemon=True).start()
        try:
            under_way.result(self._limit_seconds)
        except TimeoutError:
            return Outcome(Effect.NOT_NOW, f"the hook has not returned within {self._limit_seconds:g} seconds")
        except BaseException as exc:  # noqa: BLE001 - a customer's code
            return Outcome(Effect.PERHAPS_THIS, f"the hook raised {type(exc).__name__}: {exc}")
        return Outcome(Effect.TAKEN)

    def _run(self, registered: DeviceRegistered, under_way: "Future[Any]") -> None:
        try:
            self._hook.call(registered)
        except BaseException as exc:  # noqa: BLE001 - handed to the courier
            under_way.set_exception(exc)
        else:
            under_way.set_result(None)
