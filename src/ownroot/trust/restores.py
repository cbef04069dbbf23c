"""What a restored server cannot know: which certificates were issued between its backup and the restore.

A device that registered meanwhile is unknown afterwards, and its certificate is perfectly good. To let it in as a first
contact would trust what nobody remembers; to refuse it would strand it. So what would create such a device, or give a
known one its new key, waits for the owner. A known device with its pinned key is none of this module's business: its
key proves it.

Two ways to tell that a certificate was issued since:

* The backend holds the issuer's key. Then every certificate of that issuer is in the issuance log, and one that is not
  was signed by a server whose memory is gone. No clock is asked.
* Anybody else holds it. Then only the certificate says when it began, and it is issued since if that lies in the time
  between backup and restore. Whoever holds such a CA can write an earlier date; a date is no proof against them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ownroot.errors import RefusedError
from ownroot.pki.conformance import CLOCK_SKEW
from ownroot.pki.issuance import MOST_SITE_BACKDATE
from ownroot.trust.admission import Admission, FirstContact, Hold, RefuseKey
from ownroot.trust.device_identity import Identified
from ownroot.trust.state import Holder

# A site back-dates what it signs, and its clock may be behind ours; a clock that is ahead needs the skew alone.
_BEFORE: Final = MOST_SITE_BACKDATE + CLOCK_SKEW
_AFTER: Final = CLOCK_SKEW


@dataclass(frozen=True, slots=True)
class RestoreWindow:
    """The time a server lost by one restore: from the moment its backup was begun to the moment it came back."""

    backup_made_at: datetime
    restored_at: datetime

    def covers(self, moment: datetime) -> bool:
        """May something that carries this time have happened in the window, back-dating and clocks considered?"""
        return self.backup_made_at - _BEFORE <= moment <= self.restored_at + _AFTER


def open_window(backup_made_at: datetime, *, now: datetime) -> RestoreWindow:
    """Return the window of a restore that happens now.

    Raises:
        RefusedError: `clock-before-backup`: by a clock that is behind, later certificates would lie in no window.
    """
    if now + CLOCK_SKEW < backup_made_at:
        raise RefusedError(
            "clock-before-backup",
            f"The clock of this machine says {now:%Y-%m-%d %H:%M:%S} UTC, but the backup was made at "
            f"{backup_made_at:%Y-%m-%d %H:%M:%S} UTC. Set the clock, then restore again; by this one, certificates "
            "issued since the backup could not be told from later ones.",
        )
    return RestoreWindow(backup_made_at, max(backup_made_at, now))


def may_be_held(admission: Admission) -> bool:
    """Is it an answer that `hold_back` could change? Asked first, so that devices that go on cost nothing."""
    return isinstance(admission, (FirstContact, RefuseKey))


def hold_back(
    admission: Admission, identified: Identified, windows: Sequence[RestoreWindow], *, is_logged: bool
) -> Admission:
    """Return what becomes of an admission on a server that was restored.

    Args:
        windows: of every restore of this database, also of those before the backup was made; empty if there was none.
        is_logged: the issuance log holds this very certificate. An intent that never became a certificate does not
            count: it may have become one after the backup.
    Returns: `Hold` in place of a first contact, or of the refusal of another key, if the certificate was issued since a
        backup; everything else unchanged.
    """
    match admission:
        case FirstContact(replaces_key):
            held = Hold(replaces_key)
        case RefuseKey():
            held = Hold(replaces_key=True)
        case _:
            return admission
    return held if _is_issued_since(identified, windows, is_logged=is_logged) else admission


def _is_issued_since(identified: Identified, windows: Sequence[RestoreWindow], *, is_logged: bool) -> bool:
    if identified.issuer.holder is Holder.ONLINE:
        return bool(windows) and not is_logged
    began = identified.certificate.not_valid_before_utc
    return any(window.covers(began) for window in windows)
