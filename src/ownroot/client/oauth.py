"""Log in with an OAuth client's id and secret, and go on with a refresh token (protocol: api.md §1.3)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from ownroot.client.addresses import parse_base_url, require_confidential
from ownroot.client.closing import ClosedOnExit
from ownroot.client.refusals import error_of
from ownroot.client.tls import api_trust
from ownroot.client.transport import Answer, ExchangeLimits, Transport
from ownroot.errors import InvalidInputError, OwnrootError, UnauthenticatedError, UnavailableError
from ownroot.wire.oauth import CLIENT_CREDENTIALS, REFRESH_TOKEN, TokenReply, read_token_reply

RENEW_BEFORE: Final = timedelta(minutes=5)
"""A command may take a while; its token must not end on the way."""

_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True, repr=False)
class ClientSecret:
    """What a client says about itself."""

    client_id: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Tokens:
    """A login as it stands. `expires_at` None: the server set no end; `factory`: the only one the tokens are for."""

    access_token: str
    refresh_token: str
    expires_at: datetime | None
    factory: str | None


def is_ending(expires_at: datetime | None, now: datetime) -> bool:
    """Should a login be renewed before the next command?"""
    return expires_at is not None and expires_at - RENEW_BEFORE <= now


class OAuthServer(ClosedOnExit):
    """The token endpoint under a base URL, such as `https://api.example.com/oauth`. Owns its connections.

    Raises:
        InvalidInputError: `bad-url`, `bad-cacert`.
        RefusedError: `token-in-clear`.
    """

    def __init__(self, url: str, cacert: Path | None = None, *, limits: ExchangeLimits | None = None) -> None:
        base = parse_base_url(url)
        require_confidential(base)
        self._transport = Transport(base, tls=api_trust(cacert), limits=limits or ExchangeLimits())

    def log_in(self, client: ClientSecret, *, now: datetime) -> Tokens:
        """Begin a login.

        Raises:
            UnauthenticatedError: the server refuses; its code, or `http-400`.
            OwnrootError: as `client.refusals.error_of` for other refusals; `bad-answer`.
        """
        return self._ask({"grant_type": CLIENT_CREDENTIALS}, client, now)

    def renew(self, client: ClientSecret, refresh_token: str, *, now: datetime) -> Tokens:
        """Go on with a login. When the refresh token does not count any more, a new login takes its place.

        Raises:
            OwnrootError: as `log_in`.
        """
        if not refresh_token:
            return self.log_in(client, now=now)
        try:
            return self._ask({"grant_type": REFRESH_TOKEN, "refresh_token": refresh_token}, client, now)
        except UnavailableError:
            raise
        except OwnrootError:
            return self.log_in(client, now=now)

    def _ask(self, grant: dict[str, str], client: ClientSecret, now: datetime) -> Tokens:
        form = {**grant, "client_id": client.client_id, "client_secret": client.secret}
        answer = self._transport.exchange("POST", "/token/", body=urlencode(form).encode(), headers=_FORM)
        if answer.status != 200:
            raise _refusal(answer)
        try:
            return _tokens(read_token_reply(answer.body), now)
        except InvalidInputError as exc:
            detail = f"The answer of {answer.url} is not one of a token endpoint. {exc.detail}"
            raise InvalidInputError("bad-answer", detail) from exc

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()


def _refusal(answer: Answer) -> OwnrootError:
    """A token endpoint says 400 for nearly everything; about a client it means that nobody vouches for it."""
    error = error_of(answer)
    if answer.status in (400, 401):
        return UnauthenticatedError(error.code, error.detail, fields=error.fields, context=error.context)
    return error


def _tokens(reply: TokenReply, now: datetime) -> Tokens:
    """0 or no `expires_in` means no end, as existing clients read it."""
    seconds = min(reply.expires_in or 0, 10 * 365 * 24 * 3600)
    return Tokens(
        access_token=reply.access_token,
        refresh_token=reply.refresh_token or "",
        expires_at=now + timedelta(seconds=seconds) if seconds > 0 else None,
        factory=reply.orgs[0].name if len(reply.orgs) == 1 else None,
    )
