"""The changes of `pki_changes` as they stand in ceremony files, and back."""

from collections.abc import Mapping
from typing import Final, assert_never

import click

from ownroot.cli.keys_ca_create import parse_local_ca_file
from ownroot.cli.pki_changes import AddDeviceCas, AuthorizeEst, Change, CreatePki, JudgeDeviceCas, LocalCa, RotateTls
from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import certificate_pem, parse_certificate
from ownroot.pki.revocation import Verdict
from ownroot.pki.serials import parse_serial, serial_text
from ownroot.wire.ceremony import (
    AddDeviceCaOrder,
    AuthorizeEstOrder,
    ChangeOrder,
    CreateOrder,
    JudgeOrder,
    LocalCaOrder,
    RotateTlsOrder,
)

_VERDICTS: Final[Mapping[str, Verdict]] = {
    "revoke": Verdict.REVOKE,
    "disable": Verdict.DISABLE,
    "enable": Verdict.RENEW,
}


def order_of(change: Change) -> ChangeOrder:
    """Write a change down."""
    match change:
        case CreatePki():
            return CreateOrder(online_ca=change.online_ca, local_ca=_local_order(change.local_ca))
        case AddDeviceCas():
            return AddDeviceCaOrder(online_ca=change.online_ca, local_ca=_local_order(change.local_ca))
        case RotateTls():
            return RotateTlsOrder()
        case AuthorizeEst():
            return AuthorizeEstOrder()
        case JudgeDeviceCas():
            verdicts = {verdict: name for name, verdict in _VERDICTS.items()}
            return JudgeOrder(
                verdict=verdicts[change.verdict],  # type: ignore[arg-type]  # the keys of _VERDICTS
                serials=tuple(serial_text(serial) for serial in change.serials),
                returning=tuple(certificate_pem(ca) for ca in change.returning),
            )
        case _:
            assert_never(change)


def change_of(order: ChangeOrder) -> Change:
    """Read a change back; the file that holds it may come from anybody.

    Raises:
        InvalidInputError: `ceremony-order`, `serial-malformed`, or why a certificate cannot be read.
    """
    match order:
        case CreateOrder():
            return CreatePki(online_ca=order.online_ca, local_ca=_local_ca(order.local_ca))
        case AddDeviceCaOrder():
            if not order.online_ca and order.local_ca is None:
                raise InvalidInputError("ceremony-order", "The request asks for no device CA.")
            return AddDeviceCas(online_ca=order.online_ca, local_ca=_local_ca(order.local_ca))
        case RotateTlsOrder():
            return RotateTls()
        case AuthorizeEstOrder():
            return AuthorizeEst()
        case JudgeOrder():
            return _judgement(order)
        case _:
            assert_never(order)


def _judgement(order: JudgeOrder) -> JudgeDeviceCas:
    serials = tuple(parse_serial(serial) for serial in order.serials)
    returning = tuple(parse_certificate(pem) for pem in order.returning)
    verdict = _VERDICTS[order.verdict]
    if not serials or len(set(serials)) != len(serials):
        raise InvalidInputError("ceremony-order", "The request names no device CA, or one twice.")
    if returning and (verdict is not Verdict.RENEW or not {ca.serial_number for ca in returning} <= set(serials)):
        raise InvalidInputError("ceremony-order", "The request brings back a device CA that it does not enable.")
    return JudgeDeviceCas(verdict=verdict, serials=serials, returning=returning)


def _local_order(local_ca: LocalCa | None) -> LocalCaOrder | None:
    return None if local_ca is None else LocalCaOrder(file=local_ca.file, polis_id=local_ca.polis_id)


def _local_ca(order: LocalCaOrder | None) -> LocalCa | None:
    """Read it back; a file name with a path in it would be written outside the PKI directory."""
    if order is None:
        return None
    try:
        return LocalCa(file=parse_local_ca_file(order.file), polis_id=order.polis_id)
    except click.BadParameter as exc:
        raise InvalidInputError("ceremony-order", f"The local device CA's file {exc.message}") from exc
