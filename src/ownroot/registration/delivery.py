"""Couriers: one thread for each target, which sends what its queue holds, for days if need be.

Announcing never slows signing: a courier rests nine times as long as it computed, so that all of one target's
announcements together take a tenth of a core at most. What it notes in the journal travels with whatever else is
written.
"""

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from ownroot.errors import OwnrootError
from ownroot.registration import outbox
from ownroot.registration.journal import Journal
from ownroot.registration.outbox import Due, State

_log: Final = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 1.0
_REST: Final = 9.0
_LONGEST_REST_SECONDS: Final = 1.0
_FIRST_DELAY_SECONDS: Final = 2.0
LONGEST_DELAY_SECONDS: Final = 3600.0
_FAULT_CHARS: Final = 300
# After so many attempts we believe that a target stumbles over this announcement and lets the others pass: minutes.
_STUMBLES: Final = 8


class Effect(StrEnum):
    """What came of one attempt."""

    TAKEN = "taken"
    NEVER = "never"  # final: the target says this will never do
    NOT_THIS = "not-this"  # this one is the trouble; others may do
    PERHAPS_THIS = "perhaps-this"  # it stumbled; nobody knows over what
    NOT_NOW = "not-now"  # the target is the trouble; all wait
    ALARM = "alarm"  # all wait, and a person has to act: token, address, certificate


@dataclass(frozen=True, slots=True)
class Outcome:
    """An effect and, unless it was taken, the reason for a person."""

    effect: Effect
    fault: str = ""


class Target(Protocol):
    """Somebody who is told of each registered device, at least once."""

    @property
    def name(self) -> str:
        """Stable over restarts: the queue is kept under it."""
        ...

    def deliver(self, due: Due) -> Outcome:
        """Make one attempt; never raises for what the other side does. Used by one thread."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an announcement is tried before it counts as dead, in seconds."""

    give_up_seconds: int = 14 * 24 * 3600


class Courier:
    """Serves one target until it is stopped."""

    def __init__(
        self, journal: Journal, target: Target, *, patience: Patience, now: Callable[[], float] = time.time
    ) -> None:
        self._journal = journal
        self._target = target
        self._patience = patience
        self._now = now
        self._work = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._serve, name=f"courier-{target.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something new."""
        self._work.set()

    def stop(self) -> None:
        """Let the attempt under way be the last one."""
        self._is_stopping = True
        self._work.set()

    def wait(self, seconds: float) -> None:
        """Wait for that; an attempt that takes longer is left behind and repeated after the next start."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _serve(self) -> None:
        while not self._is_stopping:
            try:
                busy = self._send_next()
            except OwnrootError as error:
                busy = False
                _log.error("the announcements for %s stand still: %s", self._target.name, error.detail)
            except Exception:  # noqa: BLE001 - the edge of this thread: unseen, nothing would be announced any more
                busy = False
                _log.exception("the courier for %s stumbled", self._target.name)
            if not busy:
                self._work.wait(_LOOK_SECONDS)
                self._work.clear()

    def _send_next(self) -> bool:
        """Make one attempt; False when there is nothing to send now."""
        due = self._journal.read(lambda connection: outbox.next_due(connection, self._target.name, int(self._now())))
        if due is None:
            return False
        began = time.thread_time()
        outcome = self._target.deliver(due)
        self._record(due, outcome)
        self._rest(time.thread_time() - began)
        return True

    def _rest(self, computed_seconds: float) -> None:
        if not self._is_stopping:
            time.sleep(min(_REST * computed_seconds, _LONGEST_REST_SECONDS))

    def _record(self, due: Due, outcome: Outcome) -> None:
        now, name, fault = int(self._now()), self._target.name, outcome.fault[:_FAULT_CHARS]
        if outcome.effect is Effect.TAKEN:
            self._journal.write(lambda connection: _settle_taken(connection, name, due, now))
            return
        is_tired = now - due.made_at > self._patience.give_up_seconds
        if outcome.effect is Effect.NEVER or is_tired:
            words = f"given up after {(now - due.made_at) // 86400} days: {fault}" if is_tired else fault
            _log.error("announcement %d to %s is dead: %s", due.id, name, words)
            self._journal.write(lambda connection: outbox.settle(connection, due, State.DEAD, now=now, fault=words))
            return
        stumbles = outcome.effect is Effect.PERHAPS_THIS and due.attempts >= _STUMBLES
        if outcome.effect is Effect.NOT_THIS or stumbles:
            until = now + _delay_seconds(due.attempts)
            self._journal.write(lambda connection: outbox.postpone(connection, due, until=until, fault=fault))
            return
        self._pause(due, fault, now, is_alarm=outcome.effect is Effect.ALARM)

    def _pause(self, due: Due, fault: str, now: int, *, is_alarm: bool) -> None:
        name = self._target.name
        attempts = self._journal.read(lambda connection: outbox.target_attempts(connection, name))
        until = now + _delay_seconds(attempts)
        say = _log.error if is_alarm else _log.warning
        say("announcements to %s wait for %d seconds: %s", name, until - now, fault)
        self._journal.write(
            lambda connection: outbox.pause(connection, due, until=until, fault=fault, is_alarm=is_alarm)
        )


class Couriers:
    """All couriers of a site."""

    def __init__(self, journal: Journal, targets: Sequence[Target], *, patience: Patience = Patience()) -> None:
        self.names = tuple(target.name for target in targets)
        self._couriers = [Courier(journal, target, patience=patience) for target in targets]

    def start(self) -> None:
        """Begin to deliver what waits."""
        for courier in self._couriers:
            courier.start()

    def wake(self) -> None:
        """Say that there is something new for everyone."""
        for courier in self._couriers:
            courier.wake()

    def stop(self, seconds: float = 3.0) -> None:
        """End all of them."""
        for courier in self._couriers:
            courier.stop()
        for courier in self._couriers:
            courier.wait(seconds)


def _settle_taken(connection: sqlite3.Connection, target: str, due: Due, now: int) -> None:
    outbox.settle(connection, due, State.DONE, now=now)
    outbox.resume(connection, target)


def _delay_seconds(attempts: int) -> int:
    """Double with each attempt up to an hour, and spread: a hundred sites must not come back in the same second."""
    longest = min(LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0 ** min(attempts, 16))
    return max(1, round(longest * random.uniform(0.5, 1.0)))
