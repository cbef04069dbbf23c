"""What makes a device renew: the file its owner pushes, a person at the device, or the age of its certificate.

Source: gateway.md §7.2 (the file `fio-rotate-certs`).
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509

from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import certificate_der
from ownroot.wire.est import BASE_PATH

ORDER_FILE: Final = "fio-rotate-certs"
_is_rotation_id = re.compile(r"[A-Za-z0-9_-]{1,128}").fullmatch
_SPREAD_TENTHS_OF_LIFE: Final = 1


@dataclass(frozen=True, slots=True)
class RenewalOrder:
    """Whom to ask, and what to call it.

    Attributes:
        id: groups the events of this renewal; letters, digits, `-` and `_`.
        est: base URL of the EST server.
        names_est: somebody chose the address; otherwise it is where EST always is.
        is_pushed: it came with the configuration, and is carried out once.
    """

    id: str
    est: str
    names_est: bool = True
    is_pushed: bool = False


def own_order(server: str, now: datetime, *, est: str | None = None) -> RenewalOrder:
    """Return an order of the device's own; EST is on the gateway's name and port unless told otherwise."""
    url = (est or f"{server}{BASE_PATH}").rstrip("/")
    return RenewalOrder(f"certs-{int(now.timestamp())}", url, names_est=est is not None)


def parse_order(content: bytes) -> RenewalOrder:
    """Read the file that an owner pushes. Slots of a token in it are not asked for: they follow from what is in use.

    Raises:
        InvalidInputError: `renewal-order`.
    """
    pairs = (line.partition("=") for line in content.decode("utf-8", "replace").splitlines())
    values = {name.strip(): value.strip() for name, _, value in pairs}
    id_, est = values.get("ROTATIONID", ""), values.get("ESTSERVER", "").rstrip("/")
    if not _is_rotation_id(id_) or not est.startswith("https://"):
        raise InvalidInputError(
            "renewal-order",
            f"The file {ORDER_FILE} is not followed: it needs ESTSERVER=https://... and ROTATIONID= with letters, "
            "digits, '-' and '_'. The owner sends it with `ownroot devices config rotate-certs`.",
        )
    return RenewalOrder(id_, est, is_pushed=True)


def renewal_due_at(certificate: x509.Certificate) -> datetime:
    """Return when a certificate is due to be renewed: at two thirds of its life, or up to a tenth of it later.

    The tenth spreads a fleet that was made in one day. Which part of it is this device's follows from the certificate,
    so it is the same at every start.
    """
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    share = int.from_bytes(hashlib.sha256(certificate_der(certificate)).digest()[:4]) / 2**32
    life = end - start
    return (start + life * 2 / 3 + life * share * _SPREAD_TENTHS_OF_LIFE / 10).replace(microsecond=0)
