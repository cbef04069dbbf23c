"""Shapes of a device's registration: `POST /ota/devices/` here, `/sign` at a registration server.

Requests are read tolerantly, as programs of the field write them: every value may be a string, unknown members are
ignored, `""` and `null` count as absent. What stands in them is checked here as far as it is about form; the CSR is
text until `pki.requests` has verified it.

Source: registration.md §4, §6.
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from ownroot.errors import InvalidInputError
from ownroot.wire.documents import convert_object, read_document, read_object, write_document
from ownroot.wire.sota_toml import Overrides, parse_config_dir, parse_hardware_id, parse_overrides

DEFAULT_CONFIG_DIR = "/var/sota"

_TEXT_MEMBERS = ("csr", "hardware-id", "uuid", "name", "sota-config-dir", "group")
_REQUIRED_MEMBERS = ("csr", "hardware-id")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRequest:
    """What a device asks for. Its factory is the CSR's OU; `uuid`, when given, must be the CSR's CN.

    `csr` is unverified PEM text. `name` None means: the uuid. `use_ostree_server` False puts the gateway's own
    address in the place of the OSTree host's.
    """

    csr: str
    hardware_id: str
    uuid: str | None = None
    name: str | None = None
    config_dir: str = DEFAULT_CONFIG_DIR
    use_ostree_server: bool = True
    overrides: Overrides = ()
    group: str | None = None


class RegistrationForm(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    """The request as it stands on the wire: strings only, with the overrides' own TOML quotes in them."""

    csr: str
    hardware_id: str
    uuid: str | None = None
    name: str | None = None
    sota_config_dir: str | None = None
    use_ostree_server: Literal["true", "false"] | None = None
    overrides: dict[str, dict[str, str | None]] | None = None
    group: str | None = None


class RegistrationReply(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "root_crt": "root.crt",
        "sota_toml": "sota.toml",
        "client_pem": "client.pem",
        "client_chained": "client.chained",
    },
):
    """The files of a registered device, by name. There must never be a second member that ends in `.pem`.

    Programs with keys on hardware store *every* `*.pem` member as the device's certificate (registration.md §6).
    """

    root_crt: str
    sota_toml: str
    client_pem: str
    client_chained: str = ""


class AnnouncementForm(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"client_pem": "client.pem"}
):
    """A device that was registered elsewhere: its certificate as PEM, unverified (registration.md §9)."""

    client_pem: str
    name: str | None = None
    group: str | None = None


_REPLY_MEMBERS = frozenset(field.encode_name for field in msgspec.structs.fields(RegistrationReply))


def parse_registration_request(body: bytes) -> RegistrationRequest:
    """Read a POST body.

    Raises:
        InvalidInputError: `bad-json`, `json-not-object`, `missing-field`, `bad-field`, `hardware-id`,
            `sota-config-dir`, `overrides`; `fields` names the members at fault.
    """
    document = read_object(body, drop_empty=True)
    _require_members(document)
    text = {member: _text(document, member) for member in _TEXT_MEMBERS if member in document}
    return RegistrationRequest(
        csr=text["csr"],
        hardware_id=parse_hardware_id(text["hardware-id"]),
        uuid=text.get("uuid"),
        name=text.get("name"),
        config_dir=parse_config_dir(text.get("sota-config-dir", DEFAULT_CONFIG_DIR)),
        use_ostree_server=_boolean(document, "use-ostree-server", default=True),
        overrides=parse_overrides(document.get("overrides")),
        group=text.get("group"),
    )


def parse_announcement(body: bytes) -> AnnouncementForm:
    """Read a PUT body; `""` counts as absent.

    Raises:
        InvalidInputError: `bad-json`, `json-not-object`, `bad-field`.
    """
    return read_document(body, AnnouncementForm, drop_empty=True)


def registration_request_body(request: RegistrationRequest) -> bytes:
    """Write a POST body as existing servers expect it: strings only, absent members left out."""
    return write_document(
        RegistrationForm(
            csr=request.csr,
            hardware_id=request.hardware_id,
            uuid=request.uuid,
            name=request.name,
            sota_config_dir=request.config_dir,
            use_ostree_server="true" if request.use_ostree_server else "false",
            overrides={section: dict(keys) for section, keys in request.overrides},
            group=request.group,
        )
    )


def parse_registration_reply(body: bytes) -> RegistrationReply:
    """Read a 201 reply: nothing but the known files, since each member is a file somebody may write.

    `client.chained` may be absent; some servers do not send it.

    Raises:
        InvalidInputError: `bad-json`, `json-not-object`, `bad-field`, `unexpected-file`.
    """
    document = read_object(body)
    if strangers := sorted(document.keys() - _REPLY_MEMBERS):
        names = ", ".join(repr(name[:64]) for name in strangers[:5])
        raise InvalidInputError("unexpected-file", f"The server sent files that no registration has: {names}.")
    return convert_object(document, RegistrationReply)


def _require_members(document: dict[str, object]) -> None:
    missing = [member for member in _REQUIRED_MEMBERS if member not in document]
    if missing:
        raise InvalidInputError(
            "missing-field", f"Missing field(s): {', '.join(missing)}", fields=dict.fromkeys(missing, "missing")
        )


def _text(document: dict[str, object], member: str) -> str:
    value = document[member]
    if not isinstance(value, str):
        raise InvalidInputError("bad-field", f"{member!r} must be a string.", fields={member: "must be a string"})
    return value


def _boolean(document: dict[str, object], member: str, *, default: bool) -> bool:
    value = document.get(member, default)
    if isinstance(value, str):
        value = _BOOLEANS.get(value.lower())
    if not isinstance(value, bool):
        rule = 'must be "true" or "false"'
        raise InvalidInputError("bad-field", f"{member!r} {rule}.", fields={member: rule})
    return value
