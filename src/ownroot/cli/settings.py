"""What the owner's command line remembers: address and secrets of each factory logged in to.

One TOML file in the platform's config directory (or `OWNROOT_CONFIG`), readable by its owner alone and replaced whole.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from ownroot.errors import InvalidInputError
from ownroot.keystore.durable import replace_file

CONFIG_VARIABLE = "OWNROOT_CONFIG"
_FILE_NAME = "config.toml"
_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700
_OAUTH_MEMBERS = frozenset({"oauth-url", "client-id", "client-secret", "refresh-token", "expires-at"})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OAuthLogin:
    """How the token of a login is renewed; `expires_at` None means it has no end."""

    url: str
    client_id: str
    client_secret: str
    refresh_token: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to reach one factory. `oauth` None: `token` is an API token; else it is an access token, which ends."""

    url: str
    token: str
    cacert: str | None = None
    oauth: OAuthLogin | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The content of the file: logins by factory, and the factory meant when none is named."""

    default_factory: str | None = None
    logins: Mapping[str, Login] = field(default_factory=dict)

    def with_login(self, factory: str, login: Login) -> "Settings":
        """Add or replace a login and make its factory the default."""
        return Settings(factory, {**self.logins, factory: login})

    def with_renewed(self, factory: str, login: Login) -> "Settings":
        """Put a login in the place of the one that is there; which factory is the default stays."""
        return replace(self, logins={**self.logins, factory: login})

    def without(self, factory: str) -> "Settings":
        """Forget a login; another factory becomes the default."""
        left = {name: login for name, login in self.logins.items() if name != factory}
        default = self.default_factory if self.default_factory in left else next(iter(left), None)
        return replace(self, default_factory=default, logins=left)


def settings_path(environment: Mapping[str, str]) -> Path:
    """Return where the file is, whether it exists or not."""
    if named := environment.get(CONFIG_VARIABLE):
        return Path(named)
    from platformdirs import user_config_path

    return user_config_path("ownroot") / _FILE_NAME


def load_settings(path: Path) -> Settings:
    """Read the file; a missing one is empty settings.

    Raises:
        InvalidInputError: `config-unreadable`.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except OSError as exc:
        raise _unreadable(path, exc.strerror or str(exc)) from exc
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise _unreadable(path, str(exc)) from exc
    default = document.get("default-factory")
    factories = document.get("factories", {})
    if not (default is None or isinstance(default, str)) or not isinstance(factories, dict):
        raise _unreadable(path, "`default-factory` is text and `factories` a table")
    return Settings(default, {name: _login(path, name, entry) for name, entry in factories.items()})


def save_settings(path: Path, settings: Settings) -> None:
    """Replace the file; without logins there is none.

    Raises:
        InvalidInputError: `config-unwritable`.
    """
    try:
        if not settings.logins:
            path.unlink(missing_ok=True)
            return
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            path.parent.chmod(_DIRECTORY_MODE)  # whatever the umask
        replace_file(path, _toml(settings).encode(), mode=_FILE_MODE)
    except OSError as exc:
        raise InvalidInputError("config-unwritable", f"{path} cannot be written: {exc.strerror or exc}.") from exc


def environment_settings() -> tuple[Path, Settings]:
    """Return path and content of this process's settings file."""
    path = settings_path(os.environ)
    return path, load_settings(path)


def _login(path: Path, name: str, entry: object) -> Login:
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        raise _unreadable(path, f"the members of factories.{name} are text")
    if not {"url", "token"} <= entry.keys() <= {"url", "token", "cacert", *_OAUTH_MEMBERS}:
        raise _unreadable(
            path, f"factories.{name} has `url`, `token` and perhaps `cacert`, or an OAuth client's members"
        )
    oauth = _oauth(path, name, entry) if _OAUTH_MEMBERS & entry.keys() else None
    return Login(url=entry["url"], token=entry["token"], cacert=entry.get("cacert"), oauth=oauth)


def _oauth(path: Path, name: str, entry: Mapping[str, str]) -> OAuthLogin:
    missing = sorted(_OAUTH_MEMBERS - {"expires-at"} - entry.keys())
    if missing:
        raise _unreadable(path, f"factories.{name} lacks {', '.join(missing)}")
    try:
        expires_at = datetime.fromisoformat(entry["expires-at"]) if "expires-at" in entry else None
    except ValueError:
        raise _unreadable(path, f"`expires-at` of factories.{name} is no time") from None
    if expires_at is not None and expires_at.tzinfo is None:
        raise _unreadable(path, f"`expires-at` of factories.{name} names no time zone")
    return OAuthLogin(
        url=entry["oauth-url"],
        client_id=entry["client-id"],
        client_secret=entry["client-secret"],
        refresh_token=entry["refresh-token"],
        expires_at=expires_at,
    )


def _toml(settings: Settings) -> str:
    lines = [f"default-factory = {_text(settings.default_factory or '')}"]
    for factory, login in settings.logins.items():
        lines += ["", f"[factories.{_text(factory)}]", f"url = {_text(login.url)}", f"token = {_text(login.token)}"]
        if login.cacert is not None:
            lines.append(f"cacert = {_text(login.cacert)}")
        if login.oauth is not None:
            lines += _oauth_lines(login.oauth)
    return "\n".join(lines) + "\n"


def _oauth_lines(oauth: OAuthLogin) -> list[str]:
    members = {
        "oauth-url": oauth.url,
        "client-id": oauth.client_id,
        "client-secret": oauth.client_secret,
        "refresh-token": oauth.refresh_token,
    }
    if oauth.expires_at is not None:
        members["expires-at"] = oauth.expires_at.isoformat()
    return [f"{member} = {_text(value)}" for member, value in members.items()]


def _text(value: str) -> str:
    """Write a TOML basic string; JSON's escapes are TOML's too, but DEL must be escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _unreadable(path: Path, reason: str) -> InvalidInputError:
    return InvalidInputError("config-unreadable", f"The settings in {path} cannot be used: {reason}.")
