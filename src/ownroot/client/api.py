"""The backend API as a typed client (protocol: api.md §2, §3, §5).

Each method is one request; none is repeated. Errors are `client.transport`'s for the way and `client.refusals`' for
what the server refuses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlencode

from ownroot.client.access import ApiAccess
from ownroot.client.addresses import parse_base_url, path_segment, require_confidential
from ownroot.client.closing import ClosedOnExit
from ownroot.client.config_places import ConfigPlace
from ownroot.client.device_query import DeviceQuery
from ownroot.client.refusals import error_of
from ownroot.client.tls import api_trust
from ownroot.client.transport import Answer, ExchangeLimits, Transport
from ownroot.errors import InvalidInputError, NotFoundError
from ownroot.wire.accounts import FactorySummary, UserDetails, UserSummary
from ownroot.wire.certs import CertsUpload, CsrReply, CsrRequest, FactoryCerts
from ownroot.wire.clones import ClonePolicyForm, ClonePolicyObject, OnSuspicion, QuarantineForm
from ownroot.wire.config import ConfigForm, ConfigList, ConfigObject
from ownroot.wire.device_reports import AppsStates, DeviceTestList, DeviceTestObject, EventObject, UpdateList
from ownroot.wire.devices import DeviceForm, DeviceList, DeviceObject, GroupForm, GroupList
from ownroot.wire.documents import read_document, read_list, write_document
from ownroot.wire.fleet_import import ImportForm, ImportList, ImportReply, ImportResult
from ownroot.wire.forecast import DEFAULT_WEEKS, ForecastObject
from ownroot.wire.held_devices import HeldDeviceList, HeldReview, HeldVerdicts
from ownroot.wire.pki_health import PkiHealth
from ownroot.wire.refusals import RefusalList
from ownroot.wire.renewals import RecoveryForm, RecoveryPolicyObject
from ownroot.wire.status_feed import SignedFeed

Shape = TypeVar("Shape")

_JSON = {"Content-Type": "application/json"}
_SUCCESS = frozenset((200, 201, 202, 204))
_PARTIAL = 206


@dataclass(frozen=True, slots=True)
class CertsAnswer:
    """What a factory trusts. `is_taken_over` is False while it lives on the shared PKI (status 206).

    `server_time` is the server's clock when it answered, in whole seconds (RFC 9110 §6.6.1); None if it did not say.
    """

    certs: FactoryCerts
    is_taken_over: bool
    server_time: datetime | None = None


class Api(ClosedOnExit):
    """One factory at one backend. Owns its connections; close it or use it in a `with`.

    Raises:
        InvalidInputError: `bad-url`, `bad-token`, `bad-cacert`.
        RefusedError: `token-in-clear`.
    """

    def __init__(self, access: ApiAccess, *, limits: ExchangeLimits | None = None) -> None:
        url = parse_base_url(access.url)
        require_confidential(url)
        name, value = access.credential()
        self._factory = access.factory
        self._url = url
        self._transport = Transport(
            url, tls=api_trust(access.cacert), headers={name: value}, limits=limits or ExchangeLimits()
        )

    def certs(self) -> CertsAnswer:
        """Show what the factory trusts."""
        answer = self._send("GET", self._in_factory("certs/"))
        certs = _read(answer, FactoryCerts)
        # Older servers of this protocol answer 200 with nothing in it (api.md §3.1).
        is_taken_over = answer.status != _PARTIAL and certs.root_crt is not None
        return CertsAnswer(certs, is_taken_over, _server_time(answer))

    def pki_health(self) -> PkiHealth | None:
        """Ask the server what it finds out about the PKI itself; each of its keys signs a challenge.

        None: another server of this protocol, which knows no such thing (or no such factory: `certs` tells).
        """
        try:
            return _read(self._send("GET", self._in_factory("certs/health/")), PkiHealth)
        except NotFoundError:
            return None

    def forecast(self, *, weeks: int = DEFAULT_WEEKS) -> ForecastObject | None:
        """Ask what ends when; None: an older or another server, which knows no such thing."""
        try:
            return _read(self._send("GET", self._in_factory(f"forecast/?weeks={weeks}")), ForecastObject)
        except NotFoundError:
            return None

    def status_feed(self, *, since: int | None = None, after: str | None = None) -> SignedFeed:
        """Fetch one answer of the status feed, unverified: what came since a generation, or a page of the snapshot."""
        asked = {"after": after, "since": None if since is None else str(since)}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return _read(self._send("GET", self._in_factory(f"status-feed/?{query}")), SignedFeed)

    def request_csrs(self, request: CsrRequest) -> CsrReply:
        """Let the backend make keys and return their CSRs; whether they verify is the caller's to check."""
        return _read(self._send("POST", self._in_factory("certs/"), request), CsrReply)

    def upload_certs(self, upload: CertsUpload) -> None:
        """Take certificates into use: all of them, or none and an error."""
        self._send("PATCH", self._in_factory("certs/"), upload)

    def self_user(self) -> UserDetails:
        """Show whose token this is."""
        return _read(self._send("GET", self._in_factory("users/self/")), UserDetails)

    def factories(self) -> tuple[FactorySummary, ...]:
        """List the factories this token may see; needs no factory to ask."""
        return _readable(self._send("GET", "/ota/factories/"), lambda body: read_list(body, FactorySummary))

    def devices(self, query: DeviceQuery) -> DeviceList:
        """List one page of devices."""
        return _read(self._send("GET", f"/ota/devices/?{urlencode(list(query.parameters(self._factory)))}"), DeviceList)

    def device(self, name: str, *, by_uuid: bool = False) -> DeviceObject:
        """Show one device."""
        return _read(self._send("GET", self._device_path(name, by_uuid)), DeviceObject)

    def device_groups(self) -> GroupList:
        """List the device groups."""
        return _read(self._send("GET", self._in_factory("device-groups/")), GroupList)

    def create_device_group(self, name: str, *, description: str = "") -> None:
        """Make a device group."""
        self._send("POST", self._in_factory("device-groups/"), GroupForm(name=name, description=description))

    def change_device_group(self, name: str, form: GroupForm) -> None:
        """Rename or describe a device group."""
        self._send("PATCH", self._group_path(name), form)

    def delete_device_group(self, name: str) -> None:
        """Delete a device group that no device is in."""
        self._send("DELETE", self._group_path(name))

    def users(self) -> tuple[UserSummary, ...]:
        """List the members of the factory."""
        return _readable(self._send("GET", self._in_factory("users/")), lambda body: read_list(body, UserSummary))

    def config_history(self, place: ConfigPlace, *, limit: int) -> tuple[ConfigObject, ...]:
        """Return the newest changes of a configuration, newest first; follows pages of the server's own address."""
        path: str | None = place.path(self._factory)
        found: list[ConfigObject] = []
        while path is not None and len(found) < limit:
            page = _read(self._send("GET", path), ConfigList)
            found.extend(page.config)
            path = self._own_path(page.next) if page.next else None
        return tuple(found[:limit])

    def change_config(
        self, place: ConfigPlace, form: ConfigForm, *, replaces: bool = False, force: bool = False
    ) -> ConfigObject:
        """Merge files into a configuration, or put them in the place of all."""
        answer = self._send("POST" if replaces else "PATCH", place.path(self._factory, force=force), form)
        return _read(answer, ConfigObject) if answer.body else ConfigObject()

    def delete_config_file(self, place: ConfigPlace, name: str) -> None:
        """Take one file out of a configuration."""
        self._send("DELETE", place.file_path(self._factory, name))

    def change_device(self, name: str, form: DeviceForm, *, by_uuid: bool = False) -> DeviceObject:
        """Rename a device, give it another owner, put it in a group or out of it."""
        return _read(self._send("PATCH", self._device_path(name, by_uuid), form), DeviceObject)

    def import_devices(self, devices: Sequence[ImportForm]) -> tuple[ImportResult, ...]:
        """Pin one batch of devices (`wire.fleet_import.MAX_DEVICES`); one result for each, in their order.

        Raises:
            InvalidInputError: `bad-answer`, also when a result is missing.
        """
        answer = self._send("POST", self._in_factory("import/devices/"), ImportList(devices=tuple(devices)))
        results = _read(answer, ImportReply).results
        if [result.uuid for result in results] != [device.uuid for device in devices]:
            raise InvalidInputError("bad-answer", "The server did not say what became of each device.")
        return results

    def updates(self, name: str, *, by_uuid: bool = False) -> UpdateList:
        """List a device's updates, newest first."""
        return _read(self._send("GET", self._device_path(name, by_uuid, "updates/")), UpdateList)

    def update_events(self, name: str, update: str, *, by_uuid: bool = False) -> tuple[EventObject, ...]:
        """Show the events of one update, oldest first."""
        path = self._device_path(name, by_uuid, f"updates/{path_segment(update)}/")
        return _readable(self._send("GET", path), lambda body: read_list(body, EventObject))

    def apps_states(self, name: str, *, by_uuid: bool = False) -> AppsStates:
        """Show a device's reports of its apps, newest first."""
        return _read(self._send("GET", self._device_path(name, by_uuid, "apps-states/")), AppsStates)

    def device_tests(self, name: str, *, by_uuid: bool = False) -> DeviceTestList:
        """List a device's tests, newest first."""
        return _read(self._send("GET", self._device_path(name, by_uuid, "tests/")), DeviceTestList)

    def device_test(self, name: str, test_id: str, *, by_uuid: bool = False) -> DeviceTestObject:
        """Show one test."""
        path = self._device_path(name, by_uuid, f"tests/{path_segment(test_id)}")
        return _read(self._send("GET", path), DeviceTestObject)

    def test_artifact(self, name: str, test_id: str, artifact: str, *, by_uuid: bool = False) -> bytes:
        """Fetch an artifact: whatever the device sent."""
        rest = f"tests/{path_segment(test_id)}/{path_segment(artifact)}"
        return self._send("GET", self._device_path(name, by_uuid, rest)).body

    def delete_device(self, name: str, *, by_uuid: bool = False) -> None:
        """Delete one device; it is put on the deny list and cut from the gateway."""
        self._send("DELETE", self._device_path(name, by_uuid))

    def denied_devices(self, *, page: int = 1, limit: int = 100) -> DeviceList:
        """Return one page of the deny list."""
        path = self._in_factory(f"denied-devices/?{urlencode({'limit': limit, 'page': page})}")
        return _read(self._send("GET", path), DeviceList)

    def lift_denial(self, uuid: str) -> None:
        """Take a uuid off the deny list."""
        self._send("DELETE", self._in_factory(f"denied-devices/{path_segment(uuid)}/"))

    def refusals(self, uuid: str, *, limit: int) -> RefusalList:
        """Return what the gateway refused of certificates that name this uuid, newest first."""
        path = self._in_factory(f"refusals/?{urlencode({'limit': limit, 'uuid': uuid})}")
        return _read(self._send("GET", path), RefusalList)

    def cancel_rotation(self, name: str, *, by_uuid: bool = False) -> None:
        """Forget the key a device announced."""
        path, _, query = self._device_path(name, by_uuid).partition("?")
        self._send("DELETE", f"{path}rotation/?{query}")

    def recovery(self) -> RecoveryPolicyObject:
        """Show whether devices may renew an expired certificate."""
        return _read(self._send("GET", self._in_factory("recovery/")), RecoveryPolicyObject)

    def set_recovery(self, max_expired_days: int) -> RecoveryPolicyObject:
        """Say how long after its end a device may renew its certificate; 0: never."""
        form = RecoveryForm(max_expired_days=max_expired_days)
        return _read(self._send("PUT", self._in_factory("recovery/"), form), RecoveryPolicyObject)

    def clone_policy(self) -> ClonePolicyObject:
        """Show what follows when a device's key seems to be copied."""
        return _read(self._send("GET", self._in_factory("clones/")), ClonePolicyObject)

    def set_clone_policy(self, on_suspicion: OnSuspicion) -> ClonePolicyObject:
        """Say what follows when a device's key seems to be copied."""
        form = ClonePolicyForm(on_suspicion=on_suspicion)
        return _read(self._send("PUT", self._in_factory("clones/"), form), ClonePolicyObject)

    def quarantine(self, uuid: str, reason: str) -> DeviceObject:
        """Let the gateway refuse a device until it is released."""
        path, _, query = self._device_path(uuid, True).partition("?")
        return _read(self._send("PUT", f"{path}quarantine/?{query}", QuarantineForm(reason=reason)), DeviceObject)

    def release(self, uuid: str, reason: str) -> DeviceObject:
        """End a suspicion and a quarantine."""
        path, _, query = self._device_path(uuid, True).partition("?")
        query += f"&{urlencode({'reason': reason})}" if reason else ""
        return _read(self._send("DELETE", f"{path}quarantine/?{query}"), DeviceObject)

    def held_devices(
        self, *, uuid: str | None = None, ca_serial: str | None = None, limit: int = 1000, page: int = 1
    ) -> HeldDeviceList:
        """List one page of devices held for review after a restore."""
        asked = {"ca_serial": ca_serial, "limit": str(limit), "page": str(page), "uuid": uuid}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return _read(self._send("GET", self._in_factory(f"held-devices/?{query}")), HeldDeviceList)

    def accept_held(self, verdicts: HeldVerdicts) -> HeldReview:
        """Let held devices in; each verdict has its own outcome."""
        return _read(self._send("POST", self._in_factory("held-devices/accept/"), verdicts), HeldReview)

    def refuse_held(self, verdicts: HeldVerdicts) -> HeldReview:
        """Keep held devices out for good; each verdict has its own outcome."""
        return _read(self._send("POST", self._in_factory("held-devices/refuse/"), verdicts), HeldReview)

    def _in_factory(self, rest: str) -> str:
        return f"/ota/factories/{path_segment(self._factory)}/{rest}"

    def _own_path(self, url: str) -> str:
        """Return path and query of an address the server gave; our token goes to nobody else."""
        if not url.startswith(f"{self._url}/"):
            raise InvalidInputError("bad-answer", f"The next page is said to be at {url[:200]}, another server.")
        return url.removeprefix(self._url)

    def _group_path(self, name: str) -> str:
        return self._in_factory(f"device-groups/{path_segment(name)}/")

    def _device_path(self, name: str, by_uuid: bool, rest: str = "") -> str:
        query = [("factory", self._factory)] + ([("by-uuid", "1")] if by_uuid else [])
        return f"/ota/devices/{path_segment(name)}/{rest}?{urlencode(query)}"

    def _ask(self, method: str, path: str, shape: type[Shape], document: object = None) -> Shape:
        return _read(self._send(method, path, document), shape)

    def _send(self, method: str, path: str, document: object = None) -> Answer:
        body = None if document is None else write_document(document)
        answer = self._transport.exchange(method, path, body=body, headers=None if body is None else _JSON)
        partial = method == "GET" and answer.status == _PARTIAL
        if answer.status not in _SUCCESS and not partial:
            raise error_of(answer)
        return answer

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()


def _server_time(answer: Answer) -> datetime | None:
    try:
        said = parsedate_to_datetime(answer.headers.get("date", ""))
        # A date without a zone means UTC (RFC 9110 §5.6.7), never this machine's zone.
        return said.replace(tzinfo=UTC) if said.tzinfo is None else said.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _read(answer: Answer, shape: type[Shape]) -> Shape:
    return _readable(answer, lambda body: read_document(body, shape))


def _readable(answer: Answer, read: Callable[[bytes], Shape]) -> Shape:
    try:
        return read(answer.body)
    except InvalidInputError as exc:
        raise InvalidInputError(
            "bad-answer",
            f"The answer to {answer.method} {answer.url} is not one of this API. {exc.detail}",
            context={"status": answer.status},
        ) from exc
