"""Factory names, device UUIDs, DNS names, and distinguished names exactly as the wire wants them.

`parse_` functions judge text that came from outside; what they return may be used in paths, subjects and file names.
`read_subject` judges nothing: certificates from the field hold odd names, and the caller decides what is odd enough.
"""

import re
from dataclasses import dataclass
from typing import Final, NewType

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from ownroot.errors import InvalidInputError
from ownroot.pki import der

FactoryName = NewType("FactoryName", str)
DeviceUuid = NewType("DeviceUuid", str)

LOCAL_CA_PREFIX: Final = "fio-"
OSTREE_LABEL: Final = "ostree"
PRODUCTION: Final = "production"
ROOT_COMMON_NAME: Final = "Factory-CA"
_LONG_GATEWAY_COMMON_NAME: Final = "device-gateway"

_MAX_ATTRIBUTE_CHARS = 64  # RFC 5280 appendix A.1, ub-common-name and ub-organizational-unit-name
_RESERVED_FACTORY_NAMES = frozenset({OSTREE_LABEL, "est", "api"})
_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_FACTORY_NAME = re.compile(_DNS_LABEL)
_DNS_NAME = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_DEVICE_UUID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESOURCE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PRINTABLE_STRING = re.compile(r"[A-Za-z0-9 '()+,./:=?-]*")

# What the reference client keeps of a CSR's subject, in its order (Go's pkix.Name).
_KEPT_ATTRIBUTES: Final = (
    NameOID.COUNTRY_NAME,
    NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME,
    NameOID.LOCALITY_NAME,
    NameOID.STATE_OR_PROVINCE_NAME,
    NameOID.STREET_ADDRESS,
    NameOID.POSTAL_CODE,
    NameOID.COMMON_NAME,
    NameOID.SERIAL_NUMBER,
)
_SINGLE_VALUED: Final = frozenset({NameOID.COMMON_NAME, NameOID.SERIAL_NUMBER})


@dataclass(frozen=True, slots=True)
class Subject:
    """The three attributes we look at, every occurrence in order, as text and unjudged."""

    common_names: tuple[str, ...]
    organizational_units: tuple[str, ...]
    business_categories: tuple[str, ...]

    @property
    def is_production(self) -> bool:
        """Say whether the subject marks a production device."""
        return PRODUCTION in self.business_categories


def parse_factory_name(text: str) -> FactoryName:
    """Check the name of a new factory: it becomes one DNS label of the gateway name.

    Raises:
        InvalidInputError: `factory-name-invalid`; `factory-name-reserved`, it would shadow a host of ours.
    """
    if not _FACTORY_NAME.fullmatch(text):
        raise InvalidInputError(
            "factory-name-invalid",
            "A factory name has 1 to 63 lower-case letters, digits and inner hyphens.",
        )
    if text in _RESERVED_FACTORY_NAMES:
        raise InvalidInputError("factory-name-reserved", f"The factory name '{text}' is reserved for a host name.")
    return FactoryName(text)


def parse_factory_ou(text: str) -> FactoryName:
    """Check the name of a factory that moved here under the OU its certificates already carry.

    Raises:
        InvalidInputError: `factory-name-invalid`.
    """
    if not (1 <= len(text) <= _MAX_ATTRIBUTE_CHARS and text.isprintable() and text.strip() == text):
        raise InvalidInputError("factory-name-invalid", "A factory name has 1 to 64 printable characters.")
    return FactoryName(text)


def parse_device_uuid(text: str) -> DeviceUuid:
    """Check a device UUID: an opaque, case-sensitive string that is safe in paths.

    Raises:
        InvalidInputError: `device-uuid-invalid`.
    """
    if not _DEVICE_UUID.fullmatch(text):
        raise InvalidInputError(
            "device-uuid-invalid",
            "A device UUID has 1 to 64 letters, digits, dots, underscores and hyphens; the first is a letter or digit.",
        )
    return DeviceUuid(text)


def parse_resource_name(text: str) -> str:
    """Check the name of a device, a group or the like: a part of a URL path.

    Raises:
        InvalidInputError: `name-invalid`.
    """
    if not _RESOURCE_NAME.fullmatch(text) or text in {".", ".."}:
        raise InvalidInputError("name-invalid", "A name has 1 to 64 letters, digits, hyphens, underscores and dots.")
    return text


def parse_dns_name(text: str) -> str:
    """Check a DNS host name and return it in lower case; wildcards and IP addresses are none.

    Raises:
        InvalidInputError: `dns-name-invalid`.
    """
    name = text.lower() if text.isascii() else ""
    if len(name) > 253 or not _DNS_NAME.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise InvalidInputError("dns-name-invalid", "This is not a DNS host name (letters, digits and inner hyphens).")
    return name


def ostree_name(gateway_name: str) -> str:
    """Return the OSTree host that belongs to a gateway name."""
    return f"{OSTREE_LABEL}.{gateway_name}"


def root_subject(factory: str) -> x509.Name:
    """Return the subject of a factory root: CN first, UTF8String."""
    return _common_name_and_unit(ROOT_COMMON_NAME, factory)


def local_ca_subject(factory: str, polis_id: str) -> x509.Name:
    """Return the subject of a local device CA of this user.

    Raises:
        InvalidInputError: `name-too-long`, when the CN would pass 64 characters.
    """
    return _common_name_and_unit(LOCAL_CA_PREFIX + polis_id, factory)


def backend_key_subject(factory: str, gateway_name: str) -> x509.Name:
    """Return the subject for CSRs of the backend's own keys; a gateway name that no CN can hold is left out."""
    fits = len(gateway_name) <= _MAX_ATTRIBUTE_CHARS
    return _common_name_and_unit(gateway_name if fits else _LONG_GATEWAY_COMMON_NAME, factory)


def device_subject(factory: str, uuid: str, *, production: bool = False) -> x509.Name:
    """Return the subject a device of ours asks for: CN, OU, and businessCategory if it is a production device."""
    name = _common_name_and_unit(uuid, factory)
    if not production:
        return name
    return x509.Name([*name, x509.NameAttribute(NameOID.BUSINESS_CATEGORY, PRODUCTION)])


def read_subject(name: x509.Name) -> Subject:
    """Read CN, OU and businessCategory wherever they stand, also in multi-valued RDNs."""
    found: dict[ObjectIdentifier, list[str]] = {}
    for attribute in name:
        found.setdefault(attribute.oid, []).append(str(attribute.value))
    return Subject(
        common_names=tuple(found.get(NameOID.COMMON_NAME, ())),
        organizational_units=tuple(found.get(NameOID.ORGANIZATIONAL_UNIT_NAME, ())),
        business_categories=tuple(found.get(NameOID.BUSINESS_CATEGORY, ())),
    )


def local_ca_user(name: x509.Name) -> str | None:
    """Return the user id a local device CA's CN names (`fio-<user id>`), or None if the CN is of another form."""
    common_names = read_subject(name).common_names
    if len(common_names) != 1 or not common_names[0].startswith(LOCAL_CA_PREFIX):
        return None
    return common_names[0].removeprefix(LOCAL_CA_PREFIX)


def reencode_subject(name: x509.Name) -> x509.Name:
    """Write a CSR's subject anew as the reference client does (api.md §3.2 rule 7).

    Nine attributes are kept, in a fixed order, as PrintableString where the characters allow it, else as UTF8String;
    several values of one attribute share one RDN, the last CN and serialNumber win. Everything else vanishes.
    """
    rdns = []
    for oid in _KEPT_ATTRIBUTES:
        values = [str(attribute.value) for attribute in name.get_attributes_for_oid(oid)]
        if oid in _SINGLE_VALUED:
            values = values[-1:]
        if values:
            pairs = {der.sequence(_encode_oid(oid), _encode_text(value)) for value in values}
            rdns.append(der.encode(der.SET, b"".join(sorted(pairs))))
    return x509.Name.from_bytes(der.sequence(*rdns))


def _common_name_and_unit(common_name: str, unit: str) -> x509.Name:
    if not (1 <= len(common_name.encode()) <= _MAX_ATTRIBUTE_CHARS and 1 <= len(unit) <= _MAX_ATTRIBUTE_CHARS):
        raise InvalidInputError("name-too-long", "A name in a certificate's subject has 1 to 64 characters.")
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        ]
    )


def _encode_text(text: str) -> bytes:
    tag = der.PRINTABLE_STRING if _PRINTABLE_STRING.fullmatch(text) else der.UTF8_STRING
    return der.encode(tag, text.encode())


def _encode_oid(oid: ObjectIdentifier) -> bytes:
    # All kept attributes live under 2.5.4, each arc below 128: one octet.
    return der.encode(der.OBJECT_IDENTIFIER, bytes((0x55, 0x04, int(oid.dotted_string.rpartition(".")[2]))))
