"""Logins with an OAuth client's id and secret: made by `ownroot login --client`, renewed before other commands."""

from pathlib import Path

from ownroot.cli.settings import Login, OAuthLogin, load_settings, save_settings
from ownroot.client.oauth import ClientSecret, OAuthServer, Tokens, is_ending
from ownroot.clock import utc_now


def logged_in(url: str, oauth_url: str, client: ClientSecret, cacert: Path | None) -> tuple[Login, str | None]:
    """Log in; returns what to keep, and the only factory it is for.

    Raises:
        OwnrootError: as `client.oauth.OAuthServer`.
    """
    with OAuthServer(oauth_url, cacert) as server:
        tokens = server.log_in(client, now=utc_now())
    return _login(url, oauth_url, client, tokens, None if cacert is None else str(cacert)), tokens.factory


def renewed(path: Path, factory: str, login: Login) -> Login:
    """Return a login whose access token is good for a while, and keep it.

    Args:
        path: the settings file. It is read again: another command may have renewed the login meanwhile.
    Raises:
        OwnrootError: as `client.oauth.OAuthServer`; `config-unwritable`.
    """
    if not _is_ending(login):
        return login
    latest = load_settings(path).logins.get(factory, login)
    oauth = latest.oauth
    if oauth is None or not _is_ending(latest):
        return latest
    client = ClientSecret(oauth.client_id, oauth.client_secret)
    with OAuthServer(oauth.url, None if latest.cacert is None else Path(latest.cacert)) as server:
        tokens = server.renew(client, oauth.refresh_token, now=utc_now())
    fresh = _login(latest.url, oauth.url, client, tokens, latest.cacert)
    save_settings(path, load_settings(path).with_renewed(factory, fresh))
    return fresh


def _login(url: str, oauth_url: str, client: ClientSecret, tokens: Tokens, cacert: str | None) -> Login:
    oauth = OAuthLogin(
        url=oauth_url,
        client_id=client.client_id,
        client_secret=client.secret,
        refresh_token=tokens.refresh_token,
        expires_at=tokens.expires_at,
    )
    return Login(url=url, token=tokens.access_token, cacert=cacert, oauth=oauth)


def _is_ending(login: Login) -> bool:
    return login.oauth is not None and is_ending(login.oauth.expires_at, utc_now())
