"""Settings of a registration server: what its command line says, checked once, then frozen."""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from platformdirs import user_data_path

from ownroot.bootstrap.registration_options import RegistrationOptions
from ownroot.config import DATA_VARIABLE, Address, IpNetwork, TlsFiles, parse_address, parse_network
from ownroot.errors import InvalidInputError
from ownroot.pki.names import parse_resource_name
from ownroot.pki.requests import KeyPolicy
from ownroot.registration.delivery import Patience
from ownroot.registration.guard import Door
from ownroot.registration.http_targets import HttpAddress
from ownroot.registration.policy import Production, Quota, Reregistration, SitePolicy, Window
from ownroot.registration.site_files import CA_FILE, CA_KEY_FILE, ROOT_FILE, TLS_FILE, SiteFiles, TokenKey


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationSettings:
    """A registration server's settings, checked."""

    data_dir: Path
    files: SiteFiles
    policy: SitePolicy
    door: Door
    listen: Address
    names: frozenset[str]
    proxies: tuple[IpNetwork, ...]
    tls: TlsFiles | None
    client_ca: Path | None
    requests_per_minute: int
    allow_list: Path | None
    backend: HttpAddress | None
    webhook: HttpAddress | None
    patience: Patience
    hooks: tuple[str, ...]
    hook_seconds: float
    log_level: str


def registration_data_dir(given: Path | None) -> Path:
    """Return where a site keeps its journal: as told, else `$OWNROOT_DATA`, else the platform's place."""
    named = os.environ.get(DATA_VARIABLE)
    return (given or (Path(named) if named else user_data_path("ownroot") / "registration")).absolute()


def check_options(options: RegistrationOptions) -> RegistrationSettings:
    """Check everything that needs no file to be read.

    Raises:
        InvalidInputError: `config-invalid`, `address-invalid`, `registration-exposed`, `name-invalid`.
    """
    settings = RegistrationSettings(
        data_dir=registration_data_dir(options.data),
        files=_files(options),
        policy=_policy(options),
        door=Door(wants_token=options.require_token, wants_certificate=options.client_ca is not None),
        listen=parse_address(options.listen),
        names=frozenset(name.lower().rstrip(".") for name in options.name),
        proxies=tuple(parse_network(text) for text in options.behind_proxy),
        tls=None if options.tls is None else TlsFiles(*options.tls),
        client_ca=options.client_ca,
        requests_per_minute=options.requests_per_minute,
        allow_list=options.allow_list,
        backend=_address("api", options.api_url, options.api_token_file, options.api_cacert),
        webhook=_address("webhook", options.webhook_url, options.webhook_secret_file, options.webhook_cacert),
        patience=Patience(options.give_up_days * 24 * 3600),
        hooks=options.hooks,
        hook_seconds=options.hook_seconds,
        log_level=options.log_level,
    )
    _demand_guarded(settings)
    return settings


def _files(options: RegistrationOptions) -> SiteFiles:
    def place(given: Path | None, name: str, option: str) -> Path:
        if given is not None:
            return given
        if options.pki_dir is None:
            raise InvalidInputError(
                "config-invalid",
                f"Name the directory that `ownroot keys ca create` made (--pki-dir), or the file itself ({option}).",
            )
        return options.pki_dir / name

    token = _token_key(options)
    return SiteFiles(
        root=place(options.root, ROOT_FILE, "--root"),
        ca=place(options.ca, CA_FILE, "--ca"),
        ca_key=Path() if token else place(options.ca_key, CA_KEY_FILE, "--ca-key"),
        tls=place(options.tls_crt, TLS_FILE, "--gateway-crt"),
        token=token,
        gateway_port=options.gateway_port,
    )


def _token_key(options: RegistrationOptions) -> TokenKey | None:
    if options.hsm_module is None:
        return None
    if not options.hsm_token_label or not options.local_ca_hsm_label or not options.hsm_pin:
        raise InvalidInputError("config-invalid", "A key on a token is named by module, token, label and PIN.")
    return TokenKey(
        module=options.hsm_module,
        token_label=options.hsm_token_label,
        key_label=options.local_ca_hsm_label,
        pin=options.hsm_pin,
    )


def _policy(options: RegistrationOptions) -> SitePolicy:
    policy = SitePolicy(
        keys=KeyPolicy(allow_rsa=options.allow_rsa),
        production=Production(options.production),
        reregistration=Reregistration(options.reregister),
        quota=Quota(per_day=options.quota_per_day, total=options.quota),
        window=Window(_utc(options.opens), _utc(options.closes)),
        group=None if options.group is None else parse_resource_name(options.group),
        backdate=timedelta(minutes=options.backdate_minutes),
    )
    if options.validity_days is None:
        return policy
    return replace(policy, validity=timedelta(days=options.validity_days))


def _address(kind: str, url: str | None, secret: Path | None, cacert: Path | None) -> HttpAddress | None:
    if url is None and secret is None:
        return None
    if url is None or secret is None:
        word = "token" if kind == "api" else "secret"
        raise InvalidInputError("config-invalid", f"--{kind}-url and --{kind}-{word}-file go together.")
    return HttpAddress(url=url, secret_file=secret, cacert=cacert)


def _demand_guarded(settings: RegistrationSettings) -> None:
    if settings.client_ca is not None and settings.tls is None:
        raise InvalidInputError("config-invalid", "--client-ca needs --tls: client certificates are shown over TLS.")
    if settings.listen.is_loopback or settings.tls is not None or settings.proxies:
        return
    raise InvalidInputError(
        "registration-exposed",
        f"The registration server would speak plain HTTP on {settings.listen}, where anybody in between could give a "
        "device another root. Give it a certificate (--tls CERT KEY): `ownroot keys ca sign` makes one from a CSR for "
        "this host's name. Or name the proxy in front of it (--behind-proxy CIDR), or let it listen on loopback.",
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
