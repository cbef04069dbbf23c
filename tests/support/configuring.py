"""An owner who changes configurations in a gateway's database, and devices that ask for theirs."""

import json
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.clock import utc_now
from ownroot.fleet.config_files import ConfigFile
from ownroot.pki.encoding import spki_der, spki_pem, spki_sha256
from ownroot.pki.signer import generate_key
from ownroot.services.authority import Principal
from ownroot.services.change_config import ConfigEdit, ConfigTarget, StoredConfig, change_config, config_history
from ownroot.services.change_device import DeviceChange, change_device
from ownroot.services.device_groups import create_group
from ownroot.services.manage_devices import DeviceRef
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import User
from ownroot.services.scopes import Role, Scope
from tests.support.certificates import Pair
from tests.support.gateway_world import OWNER_ID, VAULT, GatewayWorld
from tests.support.tls_device import Device, Reply, exchange


def a_file(name: str, value: str = "text", *handler: str, unencrypted: bool = True) -> ConfigFile:
    """A plain file."""
    return ConfigFile(name, value, unencrypted, handler)


def by_uuid(uuid: str) -> DeviceRef:
    """Name a device."""
    return DeviceRef(uuid, is_uuid=True)


@dataclass(frozen=True, slots=True)
class ConfigOwner:
    """The owner of the world's default factory."""

    world: GatewayWorld

    @property
    def principal(self) -> Principal:
        factory = self.world.acme.factory
        return Principal(User(OWNER_ID, "ada"), factory, Role.OWNER, frozenset(Scope), 1)

    def put(self, target: ConfigTarget, *files: ConfigFile, **edit: Any) -> StoredConfig:
        """Merge files in, or what the edit says."""
        order = ConfigEdit(target, files, **edit)
        stored = self.world.write(lambda uow: change_config(uow, VAULT, order, by=self.principal, now=utc_now()))
        assert stored is not None
        return stored

    def history(self, target: ConfigTarget) -> list[StoredConfig]:
        """Return what was stored, newest first."""
        factory = self.world.acme.factory
        return self.world.database.read(lambda uow: config_history(uow, VAULT, factory, target))

    def group(self, name: str) -> None:
        """Make a device group."""
        self.world.write(lambda uow: create_group(uow, name, description="", by=self.principal, now=utc_now()))

    def move(self, uuid: str, group: str) -> None:
        """Put a device into a group, or with an empty name out of it."""
        change = DeviceChange(group=group)
        self.world.write(lambda uow: change_device(uow, by_uuid(uuid), change, by=self.principal, now=utc_now()))

    def announce_next_key(self, uuid: str) -> ec.EllipticCurvePrivateKey:
        """Let a device have told of its next key."""
        key = generate_key()

        def work(uow: UnitOfWork) -> None:
            device = uow.devices.find(self.world.acme.factory.id, uuid)
            assert device is not None
            uow.devices.replace_key(replace(device, next_spki_sha256=spki_sha256(key.public_key())))

        self.world.write(work)
        return key


@dataclass(frozen=True, slots=True)
class ConfigDevice:
    """A device that talks of nothing but its configuration."""

    world: GatewayWorld
    identity: Pair

    def get(self, path: str = "/config", **headers: str) -> Reply:
        """Ask on a connection of its own."""
        return Device(identity=self.identity).get(self.world.address, path, **headers)

    def files(self, path: str = "/config") -> dict[str, Any]:
        """Return what is delivered."""
        reply = self.get(path)
        assert reply.status == 200, reply.text
        return dict(json.loads(reply.body))

    def patch(self, *files: dict[str, Any], content: bytes | None = None, **members: str) -> Reply:
        """Send files of its own."""
        body = json.dumps({"files": files, **members}).encode() if content is None else content
        head = f"PATCH /config HTTP/1.1\r\nHost: gateway.example\r\nContent-Length: {len(body)}\r\n\r\n"
        with Device(identity=self.identity).connect(self.world.address) as connection:
            return exchange(connection, head.encode() + body)


def public_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a public key as devices send it."""
    return spki_pem(spki_der(key.public_key()))
