"""Who may ask for certificates: everybody in reach, stations with a token, stations with a client certificate."""

from dataclasses import dataclass
from functools import partial

from ownroot.errors import UnauthenticatedError
from ownroot.registration.applicant import Sender
from ownroot.registration.journal import Journal
from ownroot.registration.pace import Pace
from ownroot.registration.tokens import find_station
from ownroot.web.endpoint import Access, Arrival


@dataclass(frozen=True, slots=True)
class Door:
    """What a sender must bring. With both, a station brings both."""

    wants_token: bool = False
    wants_certificate: bool = False


class SiteGuard:
    """Turns a request's credential into a `Sender`, at the pace we allow."""

    def __init__(self, door: Door, journal: Journal, pace: Pace) -> None:
        self._door = door
        self._journal = journal
        self._pace = pace

    async def admit(self, arrival: Arrival, access: Access) -> Sender:
        """Let somebody in, before the body is read.

        Raises:
            UnavailableError: `too-many-requests`.
            UnauthenticatedError: `token-missing`, `token-unknown`, `client-certificate-missing`.
        """
        del access  # there is one door
        self._pace.demand(arrival.client_address)
        station = self._station_of(arrival)
        certified = arrival.client_certificate_name if self._door.wants_certificate else ""
        if self._door.wants_certificate and not certified:
            raise UnauthenticatedError(
                "client-certificate-missing",
                "This server registers devices only for stations that show a client certificate.",
            )
        return Sender(station or certified, arrival.client_address)

    def _station_of(self, arrival: Arrival) -> str:
        """Where no token is asked for, an unknown one names nobody: programs of the field must send something."""
        token = arrival.credential
        station = None if token is None else self._journal.read(partial(find_station, token=token))
        if station is not None:
            return station
        if not self._door.wants_token:
            return ""
        if token is None:
            raise UnauthenticatedError(
                "token-missing", "This server registers devices only with a token: send it as OSF-TOKEN."
            )
        raise UnauthenticatedError(
            "token-unknown",
            "This server does not know that token. Its operator makes one: `ownroot registration token add NAME`.",
        )
