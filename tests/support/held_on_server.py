"""Devices that a running server holds, put there as a gateway of it would have."""

from collections.abc import Iterable

from ownroot.clock import utc_now
from ownroot.pki.encoding import spki_sha256
from ownroot.pki.names import DeviceUuid
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import HeldDevice
from ownroot.storage import open_database
from tests.support.certificates import Pair, device_certificate
from tests.support.world import RunningServer


def held_device(server: RunningServer, ca: Pair, uuid: str) -> Pair:
    """Have a device held whose certificate this CA signed."""
    (made,) = held_devices(server, ca, [uuid])
    return made


def held_devices(server: RunningServer, ca: Pair, uuids: Iterable[str]) -> list[Pair]:
    """Have devices held, each with a key of its own."""
    pairs = [device_certificate(ca, uuid, server.factory, now=utc_now()) for uuid in uuids]

    def work(uow: UnitOfWork) -> None:
        factory = uow.factories.find(server.factory)
        assert factory is not None
        for pair in pairs:
            assert uow.held_devices.put(_held(factory.id, ca, pair))

    database = open_database(server.data_dir / "ownroot.db")
    try:
        database.write(work).result()
    finally:
        database.close()
    return pairs


def key_of(pair: Pair) -> str:
    """Return the key's hash as the API shows it."""
    return spki_sha256(pair.ec_key.public_key()).hex()


def _held(factory_id: int, ca: Pair, pair: Pair) -> HeldDevice:
    subject = {attribute.oid.dotted_string: attribute.value for attribute in pair.certificate.subject}
    now = utc_now()
    return HeldDevice(
        factory_id=factory_id,
        uuid=DeviceUuid(str(subject["2.5.4.3"])),
        spki_sha256=spki_sha256(pair.ec_key.public_key()),
        certificate_der=pair.der,
        issuer_serial=ca.certificate.serial_number,
        owner="0123456789abcdef01234567",
        first_at=now,
        last_at=now,
    )
