"""Trust states: what `trust.rules.decide` accepted, certificate by certificate."""

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ownroot.errors import NotFoundError
from ownroot.pki.encoding import load_certificate_der
from ownroot.pki.names import FactoryName
from ownroot.pki.serials import parse_serial, serial_text
from ownroot.storage.inserts import insert, upsert
from ownroot.storage.schema import (
    SHARED_SCOPE,
    applied_commands,
    device_cas,
    factories,
    pki_states,
    revoked_serials,
    shared_tls,
)
from ownroot.storage.session import Session
from ownroot.storage.statements import Row, Statement, param
from ownroot.storage.times import from_seconds, to_seconds
from ownroot.trust.state import AppliedCommand, DeviceCa, FactoryPki, Holder, RevokedCa, Standing

_LOAD: Final = Statement(
    sa.select(
        pki_states.c.factory_name, pki_states.c.root_der, pki_states.c.gateway_tls_der, pki_states.c.est_tls_der
    ).where(pki_states.c.scope == param("of"))
)
_LOAD_CAS: Final = Statement(
    sa.select(
        device_cas.c.certificate_der,
        device_cas.c.holder,
        device_cas.c.standing,
        device_cas.c.owner_id,
        device_cas.c.uploaded_by,
        device_cas.c.signs,
        device_cas.c.commanded_at,
    )
    .where(device_cas.c.scope == param("of"))
    .order_by(device_cas.c.position)
)
_LOAD_REVOKED: Final = Statement(
    sa.select(
        revoked_serials.c.serial,
        revoked_serials.c.certificate_der,
        revoked_serials.c.holder,
        revoked_serials.c.revoked_at,
        revoked_serials.c.commanded_at,
    )
    .where(revoked_serials.c.scope == param("of"))
    .order_by(revoked_serials.c.revoked_at, revoked_serials.c.serial)
)
_LOAD_COMMANDS: Final = Statement(
    sa.select(applied_commands.c.signed_part_sha256, applied_commands.c.usable_until)
    .where(applied_commands.c.scope == param("of"))
    .order_by(applied_commands.c.usable_until, applied_commands.c.signed_part_sha256)
)
_FACTORY_NAME: Final = Statement(sa.select(factories.c.name).where(factories.c.id == param("factory")))
_SAVE: Final = upsert(
    pki_states,
    "scope",
    "factory_name",
    "root_der",
    "gateway_tls_der",
    "est_tls_der",
    "created_by",
    "created_at",
    "updated_by",
    "updated_at",
    conflict=("scope",),
    update=lambda new: {
        "factory_name": new.factory_name,
        "root_der": new.root_der,
        "gateway_tls_der": new.gateway_tls_der,
        "est_tls_der": new.est_tls_der,
        "updated_by": new.updated_by,
        "updated_at": new.updated_at,
    },
)
_DROP_CAS: Final = Statement(sa.delete(device_cas).where(device_cas.c.scope == param("of")))
_ADD_CA: Final = insert(
    device_cas,
    "scope",
    "serial",
    "position",
    "certificate_der",
    "holder",
    "standing",
    "owner_id",
    "uploaded_by",
    "signs",
    "commanded_at",
)
_DROP_REVOKED: Final = Statement(sa.delete(revoked_serials).where(revoked_serials.c.scope == param("of")))
_ADD_REVOKED: Final = insert(
    revoked_serials, "scope", "serial", "certificate_der", "holder", "revoked_at", "commanded_at"
)
_DROP_COMMANDS: Final = Statement(sa.delete(applied_commands).where(applied_commands.c.scope == param("of")))
_ADD_COMMAND: Final = insert(applied_commands, "scope", "signed_part_sha256", "usable_until")
_META: Final = Statement(
    sa.select(pki_states.c.created_by, pki_states.c.created_at, pki_states.c.updated_by, pki_states.c.updated_at).where(
        pki_states.c.scope == param("of")
    )
)
_SHARED_TLS: Final = Statement(
    sa.select(shared_tls.c.certificate_der).where(shared_tls.c.factory_id == param("factory"))
)
_SET_SHARED_TLS: Final = upsert(
    shared_tls,
    "factory_id",
    "certificate_der",
    conflict=("factory_id",),
    update=lambda new: {"certificate_der": new.certificate_der},
)


class SqlPkiStates:
    """Implements `services.repositories.PkiStates`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def load(self, factory_id: int | None) -> FactoryPki:
        """Return the state a factory has of its own, or the shared PKI's.

        Raises:
            NotFoundError: `factory-unknown`.
        """
        of = _scope(factory_id)
        row = self._session.one(_LOAD, of=of)
        if row is None:
            return FactoryPki(self._name(factory_id))
        name, root, gateway_tls, est_tls = row
        return FactoryPki(
            FactoryName(name),
            root=_certificate(root),
            gateway_tls=_certificate(gateway_tls),
            est_tls=_certificate(est_tls),
            device_cas=tuple(_read_ca(row) for row in self._session.all(_LOAD_CAS, of=of)),
            revoked_cas=tuple(_read_revoked(row) for row in self._session.all(_LOAD_REVOKED, of=of)),
            commands=tuple(_read_command(row) for row in self._session.all(_LOAD_COMMANDS, of=of)),
        )

    def save(self, factory_id: int | None, pki: FactoryPki, *, by: str, now: datetime) -> None:
        """Replace the state; the caller decided it under this same transaction."""
        of, at = _scope(factory_id), to_seconds(now)
        self._session.run(
            _SAVE,
            scope=of,
            factory_name=pki.factory,
            root_der=_der(pki.root),
            gateway_tls_der=_der(pki.gateway_tls),
            est_tls_der=_der(pki.est_tls),
            created_by=by,
            created_at=at,
            updated_by=by,
            updated_at=at,
        )
        self._session.run(_DROP_CAS, of=of)
        self._session.run_many(_ADD_CA, [_ca_row(of, place, ca) for place, ca in enumerate(pki.device_cas)])
        self._session.run(_DROP_REVOKED, of=of)
        self._session.run_many(_ADD_REVOKED, [_revoked_row(of, revoked) for revoked in pki.revoked_cas])
        self._session.run(_DROP_COMMANDS, of=of)
        self._session.run_many(_ADD_COMMAND, [_command_row(of, command) for command in pki.commands])

    def change_meta(self, factory_id: int) -> tuple[str, str, str, str]:
        row = self._session.one(_META, of=factory_id)
        if row is None:
            return "", "", "", ""
        created_by, created_at, updated_by, updated_at = row
        return created_by, _rfc3339(created_at), updated_by, _rfc3339(updated_at)

    def shared_tls(self, factory_id: int) -> bytes | None:
        row = self._session.one(_SHARED_TLS, factory=factory_id)
        return None if row is None else bytes(row[0])

    def set_shared_tls(self, factory_id: int, certificate_der: bytes) -> None:
        self._session.run(_SET_SHARED_TLS, factory_id=factory_id, certificate_der=certificate_der)

    def _name(self, factory_id: int | None) -> FactoryName:
        if factory_id is None:
            return FactoryName("")
        row = self._session.one(_FACTORY_NAME, factory=factory_id)
        if row is None:
            raise NotFoundError("factory-unknown", "There is no such factory.")
        return FactoryName(row[0])


def _scope(factory_id: int | None) -> int:
    return SHARED_SCOPE if factory_id is None else factory_id


def _certificate(der: bytes | None) -> x509.Certificate | None:
    return None if der is None else load_certificate_der(bytes(der))


def _der(certificate: x509.Certificate | None) -> bytes | None:
    return None if certificate is None else certificate.public_bytes(Encoding.DER)


def _read_ca(row: Row) -> DeviceCa:
    certificate_der, holder, standing, owner_id, uploaded_by, signs, commanded_at = row
    return DeviceCa(
        load_certificate_der(bytes(certificate_der)),
        Holder(holder),
        Standing(standing),
        owner_id,
        uploaded_by,
        bool(signs),
        from_seconds(commanded_at) if commanded_at else None,
    )


def _ca_row(scope: int, position: int, ca: DeviceCa) -> dict[str, Any]:
    return {
        "scope": scope,
        "serial": serial_text(ca.serial),
        "position": position,
        "certificate_der": _der(ca.certificate),
        "holder": ca.holder.value,
        "standing": ca.standing.value,
        "owner_id": ca.owner_id,
        "uploaded_by": ca.uploaded_by,
        "signs": ca.signs,
        "commanded_at": 0 if ca.commanded_at is None else to_seconds(ca.commanded_at),
    }


def _read_revoked(row: Row) -> RevokedCa:
    serial, certificate_der, holder, revoked_at, commanded_at = row
    return RevokedCa(
        parse_serial(serial),
        _certificate(certificate_der),
        Holder(holder),
        revoked_at=from_seconds(revoked_at),
        commanded_at=from_seconds(commanded_at),
    )


def _revoked_row(scope: int, ca: RevokedCa) -> dict[str, Any]:
    return {
        "scope": scope,
        "serial": serial_text(ca.serial),
        "certificate_der": _der(ca.certificate),
        "holder": ca.holder.value,
        "revoked_at": to_seconds(ca.revoked_at),
        "commanded_at": to_seconds(ca.commanded_at),
    }


def _read_command(row: Row) -> AppliedCommand:
    signed_part_sha256, usable_until = row
    return AppliedCommand(bytes(signed_part_sha256), from_seconds(usable_until))


def _command_row(scope: int, command: AppliedCommand) -> dict[str, Any]:
    return {
        "scope": scope,
        "signed_part_sha256": command.signed_part_sha256,
        "usable_until": to_seconds(command.usable_until),
    }


def _rfc3339(seconds: int) -> str:
    return from_seconds(seconds).isoformat().replace("+00:00", "Z")
