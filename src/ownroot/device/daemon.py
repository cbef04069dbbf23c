"""A device that keeps itself fresh: it checks in, renews in time, and does what its owner pushes, until it is ended.

Nothing here is remembered over a restart but what the files say, so the program may be killed at any moment. A check-in
that fails puts off the next one, a renewal that fails puts off renewals alone; both listen to `Retry-After`.
"""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from ownroot.clock import utc_now
from ownroot.console.stopping import Stopping
from ownroot.device.identity import load_identity, read_certificate
from ownroot.device.renewal import Renewed, renew, resume_renewal
from ownroot.device.renewal_order import ORDER_FILE, RenewalOrder, own_order, renewal_due_at
from ownroot.device.renewal_state import RenewalFile
from ownroot.device.visit import Visitor
from ownroot.errors import InvalidInputError, OwnrootError, UnavailableError
from ownroot.keystore.pins import is_pin_refused

_LONGEST_SECONDS: Final = 6 * 3600.0
# Beyond this many failures the wait has long been the longest one.
_MOST_DOUBLINGS: Final = 20


@dataclass(slots=True)
class Backoff:
    """When something that failed may be tried again: `first_seconds` later, doubled by each failure in a row."""

    first_seconds: float
    failures: int = 0
    not_before: float = 0.0

    def fail(self, error: OwnrootError) -> float:
        """Note a failure; returns the seconds until the next try, never fewer than the server asked for."""
        doubled = self.first_seconds * 2.0 ** min(self.failures, _MOST_DOUBLINGS)
        wait = min(doubled, _LONGEST_SECONDS) * random.uniform(0.9, 1.1)
        if isinstance(error, UnavailableError):
            wait = max(wait, float(error.retry_after))
        self.failures += 1
        self.not_before = time.monotonic() + wait
        return wait

    def succeed(self) -> None:
        """Forget earlier failures."""
        self.failures, self.not_before = 0, 0.0

    @property
    def is_over(self) -> bool:
        """Whether it may be tried now."""
        return time.monotonic() >= self.not_before


class Daemon:
    """Visits the gateway in turns.

    Args:
        period_seconds: between two check-ins, with a tenth of jitter.
        tell: is told what happens: its name, and a sentence.
    """

    def __init__(self, visitor: Visitor, *, period_seconds: float, tell: Callable[[str, str], None]) -> None:
        self._visitor = visitor
        self._directory = visitor.directory
        self._period_seconds = period_seconds
        self._tell = tell
        self._visits = Backoff(period_seconds)
        self._renewals = Backoff(60.0)

    def follow(self, stopping: Stopping) -> None:
        """Go on until the wish to stop.

        Raises:
            StopWished: at any moment; whatever was under way goes on at the next start.
            KeyStoreError: `pin-incorrect`, `pin-locked`: each further turn would bring the token closer to its lock.
        """
        while True:
            with stopping.at_once():
                wait = self.turn()
            stopping.sleep(wait)

    def turn(self) -> float:
        """Do what is due; returns the seconds until the next turn. Raises KeyStoreError as `follow`."""
        self._renew_if(self._resume)
        wait = self._visit()
        self._renew_if(self._begin)
        return wait

    def _visit(self) -> float:
        try:
            done = self._visitor.visit()
        except OwnrootError as error:
            _require_pin_taken(error)
            wait = self._visits.fail(error)
            self._tell("check-in-failed", f"{error.detail} ({error.code}) Next try in {wait:.0f} s.")
            return wait
        self._visits.succeed()
        if ORDER_FILE in done.config.changed:
            self._renewals.succeed()  # what failed until now may be mended by it
        if done.config.changed or done.config.removed:
            changed, removed = len(done.config.changed), len(done.config.removed)
            self._tell("configured", f"{changed} file(s) written, {removed} removed.")
        for fault in done.faults:
            self._tell("warning", f"Not reported: {fault}")
        return self._period_seconds * random.uniform(0.9, 1.1)

    def _renew_if(self, work: Callable[[], Renewed | None]) -> None:
        if not self._renewals.is_over:
            return
        try:
            done = work()
        except OwnrootError as error:
            _require_pin_taken(error)
            wait = self._renewals.fail(error)
            self._tell("renewal-failed", f"{error.detail} ({error.code}) Not again within {wait:.0f} s.")
            return
        if done is not None:
            self._renewals.succeed()
            self._tell("renewed", f"{done.id}: the new certificate ends on {done.certificate.not_valid_after_utc:%F}.")

    def _resume(self) -> Renewed | None:
        order = None
        with suppress(InvalidInputError):  # told when the order would begin a renewal
            order = self._visitor.pushed_order()
        return self._despite_wrong_address(lambda: resume_renewal(self._directory, self._warn, order))

    def _begin(self) -> Renewed | None:
        try:
            order = self._visitor.pushed_order() or self._due()
        except InvalidInputError as error:
            order = self._due()
            if order is None:
                raise
            self._warn(error.detail)
        if order is None:
            return None
        chosen = order
        return self._despite_wrong_address(lambda: renew(self._directory, chosen, self._warn))

    def _despite_wrong_address(self, work: Callable[[], Renewed | None]) -> Renewed | None:
        """Try where EST always is too, once the certificate is due: an expired device hears of no other order."""
        try:
            return work()
        except UnavailableError:
            rotation, due = RenewalFile(self._directory).load().rotation, self._due()
            if rotation is None or due is None or rotation.est == due.est:
                raise
            return resume_renewal(self._directory, self._warn, replace(due, names_est=True))

    def _due(self) -> RenewalOrder | None:
        identity, now = load_identity(self._directory), utc_now()
        is_due = now >= renewal_due_at(read_certificate(identity))
        return own_order(identity.server, now) if is_due else None

    def _warn(self, text: str) -> None:
        self._tell("warning", text)


def _require_pin_taken(error: OwnrootError) -> None:
    if is_pin_refused(error):
        raise error
