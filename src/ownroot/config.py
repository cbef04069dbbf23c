"""Settings of a server: read from a TOML file and options, checked once, then frozen.

An option beats the file, the file beats the default. Numbers carry their unit in their name.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from platformdirs import user_data_path

from ownroot.errors import InvalidInputError

DATA_VARIABLE = "OWNROOT_DATA"
DATABASE_FILE = "ownroot.db"

Natural = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
IpNetwork = IPv4Network | IPv6Network


class ApiFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[api]` of the file.

    `names`: host names by which clients reach the API, besides those of loopback and of the TLS certificate.
    `public_url`: where people reach its pages, for links; default: whatever address the request was sent to.
    `tls_certificate`, `tls_key`: PEM files. `behind_proxy`: addresses or networks of the proxies in front.
    """

    listen: str = "127.0.0.1:8000"
    names: tuple[str, ...] = ()
    public_url: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    behind_proxy: tuple[str, ...] = ()
    max_body_bytes: Natural = 1024 * 1024
    body_timeout_seconds: Natural = 30


class GatewayFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[gateway]` of the file.

    `name`: base name, fixed by the first start. `public_port`: the port devices are told, where it is not the one we
    listen on. `trust_grace_seconds`: how long known devices go on while the database cannot be read.
    `allow_rsa`, `allow_ca_profile`: accept device certificates that other tools made (protocol: gateway.md T11).
    `admin_port`: on loopback; worker 0 answers `/readyz` and `/metrics` there, worker n on the n-th port after it. 0
    takes free ports. `report_quota_mib`: what the test artifacts of one device may take in the database.
    takes free ports. `est`: HOST:PORT of a second listener for EST alone, with its own certificate.
    """

    listen: str = "0.0.0.0:8443"
    est: str | None = None
    name: str | None = None
    workers: Natural | None = None
    public_port: Port | None = None
    trust_grace_seconds: Annotated[int, msgspec.Meta(ge=0)] = 300
    allow_rsa: bool = False
    allow_ca_profile: bool = False
    admin_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    report_quota_mib: Natural = 20


class CertificatesFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[certificates]` of the file: what the server issues.

    `device_days`, `renewal_days`: how long a device's first certificate lasts, and one that was renewed; never beyond
    the end of its CA. `backdate_minutes`: how long before its making a certificate begins, for devices whose clock is
    behind.
    """

    device_days: Natural = 7300
    renewal_days: Natural = 1095
    backdate_minutes: Annotated[int, msgspec.Meta(ge=0, le=7 * 24 * 60)] = 5


class LogFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[log]` of the file; at `debug` every request is a line."""

    level: Annotated[str, msgspec.Meta(pattern="^(debug|info|warning|error)$")] = "info"


class KeystoreFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[keystore]` of the file: the key-encryption key comes from a token; without `module` from the file `kek`.

    `pin_file`: relative to the settings file; without it the PIN comes from the environment.
    """

    module: str | None = None
    token_label: str | None = None
    key_label: str = "ownroot-kek"
    pin_file: str | None = None


class OnlineCaFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[online_ca]` of the file: new online CA keys are made on a token; without `module` they are sealed.

    `pin_file`: relative to the settings file; without it the PIN comes from the environment.
    """

    module: str | None = None
    token_label: str | None = None
    pin_file: str | None = None


class RegistrationFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[registration]` of the file: devices that register through the API.

    `production`: who may call itself a production device: each `device`, `never` anyone, or those that register into
    one of these groups. `reregister`: what happens when a known uuid comes with another key.
    """

    production: Literal["device", "never"] | tuple[str, ...] = "device"
    reregister: Literal["reject", "if-never-seen", "replace"] = "reject"


class SettingsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file.

    `database`: URL; default is SQLite in the data directory. `issuing_socket`: where gateway workers ask for renewed
    certificates, relative to the data directory.
    """

    database: str | None = None
    issuing_socket: str = "issuing.sock"
    api: ApiFile = ApiFile()
    gateway: GatewayFile = GatewayFile()
    keystore: KeystoreFile = KeystoreFile()
    online_ca: OnlineCaFile = OnlineCaFile()
    registration: RegistrationFile = RegistrationFile()
    certificates: CertificatesFile = CertificatesFile()
    log: LogFile = LogFile()


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; None or empty leaves it to the file."""

    api: str | None = None
    gateway: str | None = None
    gateway_name: str | None = None
    est: str | None = None
    workers: int | None = None
    api_tls: tuple[str, str] | None = None
    behind_proxy: tuple[str, ...] = ()
    database: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 means any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """As people write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Can only this machine reach it?"""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificate chain and key of the API, PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """The API's listener. `public_url` has no slash at its end; its host is one of `names`."""

    listen: Address
    names: frozenset[str]
    public_url: str | None
    tls: TlsFiles | None
    proxies: tuple[IpNetwork, ...]
    max_body_bytes: int
    body_timeout_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPart:
    """The gateway's listeners.

    `est` None: EST is served beside everything else, and nowhere by itself. `public_port` None: devices are told the
    port we listen on. `admin_ports`: one for each worker; 0 is any free one.
    """

    listen: Address
    est: Address | None
    name: str | None
    workers: int
    public_port: int | None
    trust_grace_seconds: int
    allow_rsa: bool
    allow_ca_profile: bool
    admin_ports: tuple[int, ...]
    report_quota_mib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KekToken:
    """The token that holds the secret of the key-encryption key. `pin_file` None: PIN from the environment."""

    module: Path
    token_label: str
    key_label: str
    pin_file: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineCaToken:
    """The token on which online CA keys are made. `pin_file` None: PIN from the environment."""

    module: Path
    token_label: str
    pin_file: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationPart:
    """What is decided about devices that register.

    `production_groups`: where a device may call itself a production device; None: everywhere.
    """

    production_groups: frozenset[str] | None
    reregister: str


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """What the server issues. Lifetimes count from the making, which `backdate` comes before."""

    device_days: int
    renewal_days: int
    backdate: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A server's settings, checked.

    `kek_token` None: the key-encryption key is a file, or in the environment. `online_ca_token` None: online CA keys
    are made here and sealed.
    """

    data_dir: Path
    database_url: str
    api: ApiSettings
    gateway: GatewayPart
    kek_token: KekToken | None
    online_ca_token: OnlineCaToken | None
    registration: RegistrationPart
    issuing_socket: Path
    certificates: CertificateSettings
    log_level: str = field(default="info")


def default_data_dir(environment: Mapping[str, str]) -> Path:
    """Return `$OWNROOT_DATA`, else the platform's place for a user's data."""
    named = environment.get(DATA_VARIABLE)
    return Path(named) if named else user_data_path("ownroot") / "server"


def load_settings(data_dir: Path, file: Path | None, options: Options) -> Settings:
    """Read and check everything.

    Raises:
        InvalidInputError: `config-unreadable`, `config-invalid`, `address-invalid`, `api-exposed`.
    """
    raw = SettingsFile() if file is None else _read_file(file)
    directory = data_dir.absolute()
    base = Path() if file is None else file.parent
    return Settings(
        data_dir=directory,
        database_url=options.database or raw.database or f"sqlite:///{directory / DATABASE_FILE}",
        api=_api(raw.api, options, base=base),
        gateway=_gateway(raw.gateway, options),
        kek_token=_kek_token(raw.keystore, base=base),
        online_ca_token=_online_ca_token(raw.online_ca, base=base),
        registration=_registration(raw.registration),
        issuing_socket=directory / raw.issuing_socket,
        certificates=_certificates(raw.certificates),
        log_level=raw.log.level,
    )


def parse_address(text: str) -> Address:
    """Read `HOST:PORT`; an IPv6 address stands in brackets.

    Raises:
        InvalidInputError: `address-invalid`.
    """
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or (":" in bare and not host.startswith("[")) or not port.isdecimal() or int(port) > 65535:
        raise InvalidInputError("address-invalid", f"{text!r} is not HOST:PORT, as in 127.0.0.1:8000 or [::1]:8000.")
    return Address(bare, int(port))


def parse_network(text: str) -> IpNetwork:
    """Read an address or a network of proxies. Raises InvalidInputError `address-invalid`."""
    try:
        return ip_network(text, strict=False)
    except ValueError as exc:
        raise InvalidInputError(
            "address-invalid", f"{text!r} is not an address or network, as in 10.0.0.5 or 10.0.0.0/24."
        ) from exc


def _read_file(file: Path) -> SettingsFile:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        return msgspec.convert(document, SettingsFile)
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInputError("config-unreadable", f"The configuration file {file} cannot be read: {exc}.") from exc
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as exc:
        raise InvalidInputError("config-invalid", f"The configuration file {file}: {exc}.") from exc


def _kek_token(raw: KeystoreFile, *, base: Path) -> KekToken | None:
    if raw.module is None and raw.token_label is None and raw.pin_file is None:
        return None
    if raw.module is None or raw.token_label is None:
        raise InvalidInputError("config-invalid", "[keystore] needs both module and token_label.")
    pin_file = None if raw.pin_file is None else base / raw.pin_file
    return KekToken(module=Path(raw.module), token_label=raw.token_label, key_label=raw.key_label, pin_file=pin_file)


def _online_ca_token(raw: OnlineCaFile, *, base: Path) -> OnlineCaToken | None:
    if raw == OnlineCaFile():
        return None
    if raw.module is None or raw.token_label is None:
        raise InvalidInputError("config-invalid", "[online_ca] needs both module and token_label.")
    pin_file = None if raw.pin_file is None else base / raw.pin_file
    return OnlineCaToken(module=Path(raw.module), token_label=raw.token_label, pin_file=pin_file)


def _registration(raw: RegistrationFile) -> RegistrationPart:
    if raw.production == "device":
        return RegistrationPart(production_groups=None, reregister=raw.reregister)
    groups = frozenset() if raw.production == "never" else frozenset(raw.production)
    if raw.production != "never" and not groups:
        raise InvalidInputError("config-invalid", '[registration] production = [] names no group; "never" says so.')
    return RegistrationPart(production_groups=groups, reregister=raw.reregister)


def _certificates(raw: CertificatesFile) -> CertificateSettings:
    return CertificateSettings(
        device_days=raw.device_days,
        renewal_days=raw.renewal_days,
        backdate=timedelta(minutes=raw.backdate_minutes),
    )


def _api(raw: ApiFile, options: Options, *, base: Path) -> ApiSettings:
    public_url, public_name = _public_url(raw.public_url)
    settings = ApiSettings(
        listen=parse_address(options.api or raw.listen),
        names=frozenset(name.lower().rstrip(".") for name in (*raw.names, *public_name)),
        public_url=public_url,
        tls=_tls(raw, options, base),
        proxies=tuple(parse_network(text) for text in (options.behind_proxy or raw.behind_proxy)),
        max_body_bytes=raw.max_body_bytes,
        body_timeout_seconds=raw.body_timeout_seconds,
    )
    _require_guarded(settings)
    return settings


def _public_url(text: str | None) -> tuple[str | None, tuple[str, ...]]:
    """Return the address without the slash at its end, and the host name in it."""
    if text is None:
        return None, ()
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError as exc:
        raise InvalidInputError("config-invalid", f"[api] public_url {text!r} is not a URL: {exc}.") from exc
    odd = parts.path.rstrip("/") or parts.query or parts.fragment or parts.username or not text.isprintable()
    if parts.scheme not in ("http", "https") or not host or odd or " " in text:
        raise InvalidInputError(
            "config-invalid", f"[api] public_url {text!r} is not scheme and host, as in https://api.example.com."
        )
    return text.rstrip("/"), (host,)


def _require_guarded(api: ApiSettings) -> None:
    """Tokens and device keys' certificates travel over this listener: in clear they stay on this machine."""
    if api.listen.is_loopback or api.tls is not None or api.proxies:
        return
    raise InvalidInputError(
        "api-exposed",
        f"The API would speak plain HTTP on {api.listen}, where others can read the tokens sent to it. "
        "Give it a certificate (--api-tls CERT KEY), or name the proxy in front of it (--behind-proxy CIDR), "
        "or let it listen on loopback (--api 127.0.0.1:8000).",
    )


def _tls(raw: ApiFile, options: Options, base: Path) -> TlsFiles | None:
    """Paths in the file are relative to the file, those on the command line to where it is typed."""
    if options.api_tls is not None:
        return TlsFiles(Path(options.api_tls[0]), Path(options.api_tls[1]))
    if raw.tls_certificate is None and raw.tls_key is None:
        return None
    if raw.tls_certificate is None or raw.tls_key is None:
        raise InvalidInputError("config-invalid", "[api] needs tls_certificate and tls_key, or neither.")
    return TlsFiles(base / raw.tls_certificate, base / raw.tls_key)


def _gateway(raw: GatewayFile, options: Options) -> GatewayPart:
    if options.workers is not None and options.workers < 1:
        raise InvalidInputError("config-invalid", "The gateway needs at least one worker.")
    workers = options.workers or raw.workers or default_workers()
    est = options.est or raw.est
    return GatewayPart(
        listen=parse_address(options.gateway or raw.listen),
        est=None if est is None else parse_address(est),
        name=options.gateway_name or raw.name,
        workers=workers,
        public_port=raw.public_port,
        trust_grace_seconds=raw.trust_grace_seconds,
        allow_rsa=raw.allow_rsa,
        allow_ca_profile=raw.allow_ca_profile,
        admin_ports=_admin_ports(raw.admin_port, workers),
        report_quota_mib=raw.report_quota_mib,
    )


def _admin_ports(first: int, workers: int) -> tuple[int, ...]:
    if first == 0:
        return (0,) * workers
    if first + workers - 1 > 65535:
        raise InvalidInputError(
            "config-invalid", f"[gateway] admin_port {first} leaves no port for each of {workers} workers."
        )
    return tuple(range(first, first + workers))


def default_workers() -> int:
    """One per processor we may use, handshakes being arithmetic; never one alone, so that no crash cuts off a fleet."""
    return max(2, len(os.sched_getaffinity(0)))
