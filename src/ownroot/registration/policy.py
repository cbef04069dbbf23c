"""What a site decides about the devices it registers. Pure: the journal brings the counts, the caller the time."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from ownroot.errors import RefusedError
from ownroot.pki.issuance import DEVICE_BACKDATE
from ownroot.pki.profiles import DEVICE
from ownroot.pki.requests import KeyPolicy
from ownroot.registration.applicant import Applicant


class Production(StrEnum):
    """Who says that a device is a production device."""

    ALLOW = "allow"
    FORBID = "forbid"
    FORCE = "force"


class Reregistration(StrEnum):
    """What happens when a known uuid comes back with another key."""

    REJECT = "reject"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Quota:
    """How many certificates the site may issue; None is no limit. A day is one of UTC."""

    per_day: int | None = None
    total: int | None = None

    def demand_room(self, *, today: int, total: int) -> None:
        """Refuse when what was issued so far fills the quota.

        Raises:
            RefusedError: `quota-used-up`.
        """
        if self.total is not None and total >= self.total:
            raise _used_up(f"all of its {self.total} certificates are issued. Its operator raises --quota")
        if self.per_day is not None and today >= self.per_day:
            raise _used_up(
                f"its {self.per_day} certificates of this day (UTC) are issued. It goes on tomorrow, or when its "
                "operator raises --quota-per-day"
            )


@dataclass(frozen=True, slots=True)
class Window:
    """When the site may issue; None is open-ended. Both ends are in."""

    opens: datetime | None = None
    closes: datetime | None = None

    def demand_open(self, now: datetime) -> None:
        """Refuse outside.

        Raises:
            RefusedError: `window-not-open-yet`, `window-closed`.
        """
        if self.opens is not None and now < self.opens:
            raise RefusedError("window-not-open-yet", f"This server registers devices from {_text(self.opens)} on.")
        if self.closes is not None and now > self.closes:
            raise RefusedError("window-closed", f"This server registered devices until {_text(self.closes)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePolicy:
    """Everything an operator decides that needs no file and no key.

    `group` is given to every device that nothing more specific puts into another. `backdate`: how long before its
    making a certificate begins, for devices whose clock is behind.
    """

    keys: KeyPolicy = field(default_factory=KeyPolicy)
    production: Production = Production.FORBID
    reregistration: Reregistration = Reregistration.REJECT
    quota: Quota = field(default_factory=Quota)
    window: Window = field(default_factory=Window)
    group: str | None = None
    validity: timedelta = timedelta(days=DEVICE.lifetime.days)
    backdate: timedelta = DEVICE_BACKDATE

    def judge(self, applicant: Applicant) -> None:
        """Refuse what can be refused without looking at other devices.

        Raises:
            RefusedError: `window-not-open-yet`, `window-closed`, `production-forbidden`.
        """
        self.window.demand_open(applicant.at)
        if applicant.csr.production and self.production is Production.FORBID:
            raise RefusedError(
                "production-forbidden",
                "This site does not let a device mark itself as a production device (businessCategory). Its operator "
                "decides with --production.",
                fields={"csr": "businessCategory not allowed"},
            )


def _used_up(why: str) -> RefusedError:
    return RefusedError("quota-used-up", f"This server registers no more devices: {why}.")


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
