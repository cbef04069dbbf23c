"""`sota.toml`, the settings file that a device gets at registration and that every program on it reads.

Rules kept: the text is always valid TOML, every value in it is a string (readers of the field crash on anything
else), and a registering device can neither inject lines nor send itself to another server. Override values arrive
with TOML quotes of their own, as bare text, or empty ("leave this key out"); all three are understood.

Source: registration.md §7.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from ownroot.errors import InvalidInputError

Overrides = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""Section -> key -> value as sent, in arrival order; hashable. The empty value takes a key out."""

MAX_OVERRIDES = 200
MAX_VALUE_LENGTH = 4096
MAX_TOTAL_LENGTH = 64 * 1024

_is_name = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
_is_hardware_id = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch
_find_control = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]").search
_find_quote_or_control = re.compile(r'["\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]').search
# One TOML string and nothing else, in its four forms. What comes from a device reaches the TOML parser only like this
# or short: dotted keys and nested tables cost it time by the square of their length.
_is_toml_string = re.compile(
    r'''[ \t]*(?:"""(?:(?!""")(?:[^\\]|\\.))*+"""|"(?:[^"\\\n]|\\[^\n])*+"'''
    r"""|'''(?:(?!''').)*+'''|'[^'\n]*+')[ \t]*+(?:#[^\n]*+)?""",
    re.DOTALL,
).fullmatch
_SHORT = 256
_placeholder = re.compile(r"\{(gateway_server|ostree_server|hardware_id|sota_config_dir)\}")
_escaped = re.compile(r'[\\"\x00-\x1f\x7f]')

# The server is ours to name: a device that could redirect it would hand its fleet's data to whoever built the image.
# `p11` is appended by the device itself, and a second table of that name would make the file unreadable.
_REFUSED_SECTIONS = frozenset({"p11"})
_REFUSED_KEYS = frozenset({("tls", "server"), ("provision", "server"), ("uptane", "repo_server")})

_Tables = dict[str, dict[str, str | None]]


@dataclass(frozen=True, slots=True)
class SotaSettings:
    """What one `sota.toml` is made from; equal settings give equal text.

    `gateway_url` and `ostree_url` have no final slash. The rest comes from `parse_hardware_id`, `parse_config_dir`
    and `parse_overrides`.
    """

    gateway_url: str
    ostree_url: str
    hardware_id: str
    config_dir: str
    overrides: Overrides = ()


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Where the programs of a device find its key and certificate on a token. The PIN shows in no text made of this."""

    module: str
    pin: str = field(repr=False)
    key_id: str
    certificate_id: str


def parse_hardware_id(text: str) -> str:
    """Return `text` if it may be a hardware id, else raise InvalidInputError `hardware-id`."""
    if not _is_hardware_id(text):
        rule = "1 to 128 letters, digits, '.', '_' or '-'"
        raise InvalidInputError("hardware-id", f"The hardware id must be {rule}.", fields={"hardware-id": rule})
    return text


def parse_config_dir(text: str) -> str:
    """Return `text` if it may be the device's directory (relative ones included), else raise `sota-config-dir`."""
    if not text.strip() or len(text) > MAX_VALUE_LENGTH or _find_control(text):
        rule = f"1 to {MAX_VALUE_LENGTH} printable characters"
        raise InvalidInputError("sota-config-dir", f"The directory must be {rule}.", fields={"sota-config-dir": rule})
    return text


def parse_overrides(document: object) -> Overrides:
    """Check the `overrides` member of a request: an object of objects of strings.

    Real booleans are taken as their text; null and "" take a key out of the file.

    Raises:
        InvalidInputError: `overrides`; `fields` names each entry at fault, e.g. `overrides.tls.server`.
    """
    faults: dict[str, str] = {}
    sections = tuple(_parse_section(section, keys, faults) for section, keys in _members(document, "overrides", faults))
    if sum(len(keys) for _, keys in sections) + len(sections) > MAX_OVERRIDES:
        faults["overrides"] = f"more than {MAX_OVERRIDES} entries"
    elif sum(len(value) for _, keys in sections for _, value in keys) > MAX_TOTAL_LENGTH:
        faults["overrides"] = f"longer than {MAX_TOTAL_LENGTH} characters in all"
    _raise_faults(faults)
    return sections


@lru_cache(maxsize=64)
def render_sota_toml(settings: SotaSettings) -> str:
    """Return the text of `sota.toml`, one newline at its end.

    Nothing in it is particular to one device, so a production line's boards share one cached text.

    Raises:
        InvalidInputError: `overrides`; `fields` names each value that is no string, no text or no known placeholder.
    """
    tables = _default_tables(settings)
    faults: dict[str, str] = {}
    for section, keys in settings.overrides:
        table = tables.setdefault(section, {})
        for key, value in keys:
            try:
                table[key] = _substitute(_read_value(value), settings) if value else None
            except ValueError as exc:
                faults[f"overrides.{section}.{key}"] = str(exc)
    _raise_faults(faults)
    return _print_tables(tables)


TOKEN_OVERRIDES: Overrides = (
    ("tls", (("pkey_source", '"pkcs11"'), ("cert_source", '"pkcs11"'))),
    ("storage", (("tls_pkey_path", ""), ("tls_clientcert_path", ""))),
    ("import", (("tls_pkey_path", ""), ("tls_clientcert_path", ""))),
)
"""What a device asks for whose key and certificate are on a token (registration.md §4)."""


def append_token_settings(text: str, token: TokenSettings) -> str:
    """Add the section `[p11]`, which the device writes itself, to a `sota.toml` made with `TOKEN_OVERRIDES`.

    Raises:
        InvalidInputError: `sota-toml-token`: the text is no TOML, has the section, or names files for key and
            certificate; programs that read it would look in the wrong place or fail.
    """
    fault = _token_fault(text)
    if fault is not None:
        raise InvalidInputError("sota-toml-token", f"The server's sota.toml does not serve a key on a token: {fault}.")
    section: dict[str, str | None] = {
        "module": token.module,
        "pass": token.pin,
        "tls_pkey_id": token.key_id,
        "tls_clientcert_id": token.certificate_id,
    }
    return f"{text.rstrip()}\n\n{_print_table('p11', section)}"


def _token_fault(text: str) -> str | None:
    try:
        document = tomllib.loads(text)
    except ValueError as exc:
        return f"it cannot be read, {exc}"
    if "p11" in document:
        return "it has a section [p11], which is the device's own"
    for section, keys in TOKEN_OVERRIDES:
        given = document.get(section)
        table = given if isinstance(given, dict) else {}
        for key, value in keys:
            if table.get(key, "") != value.strip('"'):
                return f"{section}.{key} is not {value or 'left out'}"
    return None


def _default_tables(settings: SotaSettings) -> _Tables:
    directory = settings.config_dir
    return {
        "tls": {"server": settings.gateway_url, "ca_source": "file", "pkey_source": "file", "cert_source": "file"},
        "provision": {"server": settings.gateway_url, "primary_ecu_hardware_id": settings.hardware_id},
        "uptane": {"repo_server": f"{settings.gateway_url}/repo", "key_source": "file"},
        "pacman": {"type": "ostree+compose_apps", "ostree_server": f"{settings.ostree_url}/ostree"},
        "storage": {"type": "sqlite", "path": f"{directory}/"},
        "import": {
            "tls_cacert_path": f"{directory}/root.crt",
            "tls_pkey_path": f"{directory}/pkey.pem",
            "tls_clientcert_path": f"{directory}/client.pem",
        },
    }


def _parse_section(section: str, keys: object, faults: dict[str, str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    path = f"overrides.{section}"
    if not _is_name(section):
        faults["overrides"] = "section names are 1 to 64 letters, digits, '_' or '-'"
        return section, ()
    if section in _REFUSED_SECTIONS:
        faults[path] = "this section is written by the device itself"
        return section, ()
    return section, tuple(
        (key, _parse_entry(section, key, value, faults)) for key, value in _members(keys, path, faults)
    )


def _parse_entry(section: str, key: str, value: object, faults: dict[str, str]) -> str:
    path = f"overrides.{section}"
    if not _is_name(key):
        faults[path] = "key names are 1 to 64 letters, digits, '_' or '-'"
    elif (section, key) in _REFUSED_KEYS:
        faults[f"{path}.{key}"] = "the server is not the device's to choose"
    elif isinstance(value, bool):
        return "true" if value else "false"
    elif value is None:
        return ""
    elif not isinstance(value, str):
        faults[f"{path}.{key}"] = "must be a string"
    elif len(value) > MAX_VALUE_LENGTH:
        faults[f"{path}.{key}"] = f"longer than {MAX_VALUE_LENGTH} characters"
    else:
        return value
    return ""


def _members(document: object, path: str, faults: dict[str, str]) -> tuple[tuple[str, object], ...]:
    if isinstance(document, Mapping):
        return tuple(document.items())
    if document is not None:
        faults[path] = "must be an object"
    return ()


def _read_value(text: str) -> str:
    """Return the string that an override value means; ValueError carries the fault in words for a person."""
    if len(text) > _SHORT and not _is_toml_string(text):
        return _read_bare_text(text)
    try:
        tables = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return _read_bare_text(text)
    value = tables.pop("value")
    if tables:
        raise ValueError("more than one value")
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        raise ValueError("lists and tables are not possible, use a string")
    # Numbers, booleans and dates as they were typed: 1.10 is a version to whoever wrote it.
    return text.partition("#")[0].strip()


def _read_bare_text(text: str) -> str:
    if _find_quote_or_control(text):
        raise ValueError("neither a TOML value nor plain text (quotes, line breaks)")
    return text


def _substitute(value: str, settings: SotaSettings) -> str:
    if "{" not in value and "}" not in value:
        return value
    known = {
        "gateway_server": settings.gateway_url,
        "ostree_server": settings.ostree_url,
        "hardware_id": settings.hardware_id,
        "sota_config_dir": settings.config_dir,
    }
    rest = _placeholder.sub("", value)
    if "{" in rest or "}" in rest:
        names = ", ".join(f"{{{name}}}" for name in known)
        raise ValueError(f"braces are for placeholders: {names}")
    return _placeholder.sub(lambda match: known[match[1]], value)


def _print_tables(tables: _Tables) -> str:
    text = "\n".join(_print_table(section, table) for section, table in tables.items())
    expected = {
        section: {key: value for key, value in table.items() if value is not None} for section, table in tables.items()
    }
    if tomllib.loads(text) != expected:
        raise InvalidInputError("overrides", "These overrides do not give a readable sota.toml.")
    return text


def _print_table(section: str, table: Mapping[str, str | None]) -> str:
    lines = (
        f"# {key} is not set" if value is None else f"{key} = {toml_string(value)}" for key, value in table.items()
    )
    return "".join(f"{line}\n" for line in (f"[{section}]", *lines))


def toml_string(value: str) -> str:
    """Return the value as a basic string of TOML, quotes included."""
    text = _escaped.sub(lambda match: f"\\{match[0]}" if match[0] in '\\"' else f"\\u{ord(match[0]):04x}", value)
    return f'"{text}"'


def _raise_faults(faults: Mapping[str, str]) -> None:
    if faults:
        raise InvalidInputError(
            "overrides", "Some overrides for sota.toml cannot be used; nothing was registered.", fields=faults
        )
