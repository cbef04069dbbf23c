"""What the command line of a registration server says, as it was typed."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationOptions:
    """What the command line says, option by option; None or empty was not said."""

    data: Path | None = None
    pki_dir: Path | None = None
    root: Path | None = None
    ca: Path | None = None
    ca_key: Path | None = None
    tls_crt: Path | None = None
    hsm_module: Path | None = None
    hsm_token_label: str | None = None
    local_ca_hsm_label: str | None = None
    hsm_pin: str | None = field(default=None, repr=False)
    gateway_port: int = 8443
    listen: str = "127.0.0.1:8090"
    name: tuple[str, ...] = ()
    tls: tuple[Path, Path] | None = None
    behind_proxy: tuple[str, ...] = ()
    client_ca: Path | None = None
    require_token: bool = False
    requests_per_minute: int = 600
    allow_list: Path | None = None
    quota: int | None = None
    quota_per_day: int | None = None
    opens: datetime | None = None
    closes: datetime | None = None
    production: str = "forbid"
    reregister: str = "reject"
    group: str | None = None
    validity_days: int | None = None
    backdate_minutes: int = 5
    allow_rsa: bool = False
    api_url: str | None = None
    api_token_file: Path | None = None
    api_cacert: Path | None = None
    webhook_url: str | None = None
    webhook_secret_file: Path | None = None
    webhook_cacert: Path | None = None
    give_up_days: int = 14
    hooks: tuple[str, ...] = ()
    hook_seconds: float = 5.0
    log_level: str = "info"
