"""`rotate-certs`: the file that makes devices renew their certificates (protocol: api.md §6.2)."""

from dataclasses import dataclass
from datetime import datetime

from ownroot.cli.options import Target
from ownroot.client.api import Api
from ownroot.client.config_places import ConfigPlace
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.errors import InvalidInputError, NotFoundError
from ownroot.pki.encoding import parse_certificate
from ownroot.pki.traits import Traits
from ownroot.wire.config import ConfigFileForm, ConfigForm

_FILE = "fio-rotate-certs"
_HANDLER = ("/usr/share/fioconfig/handlers/renew-client-cert",)


@dataclass(frozen=True, slots=True)
class RotationOrder:
    """Where devices renew, and which slots of a token they use in turn.

    Attributes:
        server_name: None: the one DNS name of the factory's EST certificate.
    """

    reason: str
    server_name: str | None
    port: int
    resource: str
    pkey_ids: str
    cert_ids: str
    dry_run: bool

    def file(self, server_name: str, now: datetime) -> ConfigFileForm:
        """Return the file; its rotation is named after the time."""
        lines = (
            f"ESTSERVER=https://{server_name}:{self.port}{self.resource}",
            f"PKEYIDS={self.pkey_ids}",
            f"CERTIDS={self.cert_ids}",
            f"ROTATIONID=certs-{int(now.timestamp())}",
        )
        value = "".join(f"{line}\n" for line in lines)
        return ConfigFileForm(name=_FILE, value=value, unencrypted=True, on_changed=_HANDLER)


def rotate_certs(target: Target, place: ConfigPlace, order: RotationOrder, *, as_json: bool) -> None:
    """Send the file, alone, as it must be: others of the same push may be fetched late.

    Raises:
        NotFoundError: `est-not-authorized`.
        InvalidInputError: `est-name`.
    """
    output = Output(as_json=as_json)
    with Api(target.access()) as api:
        if place.device is not None:
            api.device(place.device, by_uuid=place.by_uuid)  # a name that is wrong is told before anything else
        file = order.file(order.server_name or _est_name(api), utc_now())
        if not order.dry_run:
            api.change_config(place, ConfigForm(files=(file,), reason=order.reason))
    if as_json:
        output.document(file)
        return
    done = "Would send" if order.dry_run else "Sent"
    output.line(f"{done} to {place}:")
    for line in file.value.splitlines():
        output.line(f"  {line}")


def _est_name(api: Api) -> str:
    pem = api.certs().certs.est_tls_crt
    if not pem:
        raise NotFoundError("est-not-authorized", "EST server is not configured: `ownroot keys est authorize DIR`.")
    names = Traits.of(parse_certificate(pem)).dns_names
    if len(names) != 1:
        raise InvalidInputError("est-name", f"Certificate expected to have 1 DNS name, not {len(names)}.")
    return names[0]
