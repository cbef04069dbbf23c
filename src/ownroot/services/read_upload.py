"""From the text somebody uploads to values a decision can be made on. Reading promises nothing about trust."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import parse_certificate, parse_certificates, parse_crl
from ownroot.trust.changes import Field, UploadPki

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UploadText:
    """The parts of an upload as PEM text; None = not sent. Members are named as in `trust.changes.UploadPki`."""

    root: str | None = None
    device_cas: str | None = None
    gateway_tls: str | None = None
    est_tls: str | None = None
    crl: str | None = None


def read_upload(text: UploadText) -> UploadPki:
    """Parse every part, so that one answer names every part that is broken.

    Raises:
        InvalidInputError: with the code of the first fault and a sentence for each part at fault.
    """
    faults: dict[Field, InvalidInputError] = {}

    def read(field: Field, part: str | None, parse: Callable[[str], T]) -> T | None:
        try:
            return None if part is None else parse(part)
        except InvalidInputError as fault:
            faults[field] = fault
            return None

    upload = UploadPki(
        root=read(Field.ROOT, text.root, parse_certificate),
        device_cas=read(Field.DEVICE_CAS, text.device_cas, parse_certificates),
        gateway_tls=read(Field.GATEWAY_TLS, text.gateway_tls, parse_certificate),
        est_tls=read(Field.EST_TLS, text.est_tls, parse_certificate),
        crl=read(Field.CRL, text.crl, parse_crl),
    )
    if faults:
        field, first = next(iter(faults.items()))
        fields = {name.value: fault.detail for name, fault in faults.items()}
        raise InvalidInputError(first.code, f"{field.value}: {first.detail}", fields=fields)
    return upload
