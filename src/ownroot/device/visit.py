"""One whole visit of a device to its gateway: who it is, what it offers, its configuration, its reports."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ownroot.device.check_in import check_in, open_gateway
from ownroot.device.config import Applied, ConfigPlaces, DeviceConfig
from ownroot.device.config_files import SecretsDirectory
from ownroot.device.config_handlers import HandlerPlaces, Handlers
from ownroot.device.identity import DeviceIdentity, exposed_secret, load_identity
from ownroot.device.renewal_order import ORDER_FILE, RenewalOrder, parse_order
from ownroot.device.renewal_state import RenewalFile
from ownroot.device.slots import opened_slots
from ownroot.device.system_report import send_reports
from ownroot.errors import OwnrootError


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of it. `faults`: reports that the gateway did not take, a sentence each."""

    identity: DeviceIdentity
    device: dict[str, object]
    config: Applied
    faults: tuple[str, ...]


class Visitor:
    """Visits as whoever the directory says the device is at that moment.

    Args:
        warn: is told what someone should look after; it stops nothing.
    """

    def __init__(self, places: ConfigPlaces, handlers: HandlerPlaces, warn: Callable[[str], None]) -> None:
        self._places = places
        self._handlers = Handlers(handlers, warn)
        self._warn = warn

    @property
    def directory(self) -> Path:
        """Where the identity is."""
        return self._places.storage

    def pushed_order(self) -> RenewalOrder | None:
        """Return the renewal that the owner has ordered and that is not done yet.

        Raises:
            InvalidInputError: `config-directory`, `renewal-order`, `renewal-state`.
        """
        content = SecretsDirectory(self._places.secrets).read(ORDER_FILE)
        order = None if content is None else parse_order(content)
        is_new = order is not None and order.id != RenewalFile(self.directory).load().carried_out
        return order if is_new else None

    def visit(self) -> Visit:
        """Visit once.

        Raises:
            OwnrootError: as `load_identity`, `check_in` and `DeviceConfig.sync`.
        """
        identity = load_identity(self.directory)
        exposed = exposed_secret(self.directory, identity)
        if exposed is not None:
            self._warn(f"Others than its owner may read or change {exposed}: run `chmod 0600` on it.")
        with opened_slots(self.directory, identity) as slots, open_gateway(identity) as gateway:
            config = DeviceConfig(self._places, slots.keys, self._handlers)
            device = check_in(identity, gateway)
            try:
                config.tell_actions(gateway)
            except OwnrootError as error:
                self._warn(f"The gateway did not take the list of actions: {error.detail}")
            done = config.sync(gateway)
            return Visit(identity, device, done, send_reports(self.directory, identity, gateway))
