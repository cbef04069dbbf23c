"""`/oauth/`: tokens for programs, and codes for devices that want to be registered.

Source: api.md §1.3, registration.md §3.2; RFC 6749 §4.4, §6; RFC 8628 §3.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ownroot.api.audit_trail import AuditTrail
from ownroot.api.backend import Backend
from ownroot.api.oauth_errors import oauth_refusal
from ownroot.errors import InvalidInputError, UnauthenticatedError
from ownroot.services.authority import Principal
from ownroot.services.oauth_logins import ClientCredentials, IssuedTokens, log_in_client, refresh_login
from ownroot.services.ports import Factory, Scope
from ownroot.services.steps import Steps
from ownroot.web.credentials import read_basic
from ownroot.web.endpoint import PUBLIC, Call, Endpoint, FormBody, Reply
from ownroot.wire.forms import read_form
from ownroot.wire.oauth import CLIENT_CREDENTIALS, REFRESH_TOKEN, Org, TokenForm, TokenReply

T = TypeVar("T")

_NO_CACHE = {"Pragma": "no-cache"}


class OAuthEndpoints:
    """Handlers for OAuth."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._trail = AuditTrail(backend)

    async def token(self, call: Call[Principal]) -> Reply:
        """Give tokens for what the form brings."""
        form: TokenForm = call.body
        match form.grant_type:
            case kind if kind == CLIENT_CREDENTIALS:
                peer = call.arrival.client_address
                begin = partial(log_in_client, scope=form.scope, peer=peer, now=call.now)
                return await self._issue(call, begin)
            case kind if kind == REFRESH_TOKEN:
                shown = _required(form.refresh_token, "refresh_token")
                return await self._issue(call, partial(refresh_login, refresh_token=shown, now=call.now))
        raise InvalidInputError("grant-unsupported", f"This server has no grant {form.grant_type[:80]!r}.")

    async def _issue(self, call: Call[Principal], begin: Callable[[ClientCredentials], Steps[IssuedTokens]]) -> Reply:
        credentials = _credentials(call)
        try:
            issued = await self._backend.run(begin(credentials))
        except UnauthenticatedError as refusal:
            await self._trail.refused_login(refusal, call.arrival.client_address, call.now)
            raise
        reply = TokenReply(
            access_token=issued.access_token,
            refresh_token=issued.refresh_token,
            expires_in=int(issued.lifetime.total_seconds()),
            scope=_spelled(issued.scopes, issued.factory),
            orgs=(Org(name=issued.factory.name),),
        )
        return Reply(200, reply, _NO_CACHE)


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Declare them."""
    pages = OAuthEndpoints(backend)
    return (
        Endpoint(
            method="POST",
            path="/oauth/token/",
            handler=pages.token,
            access=PUBLIC,
            summary="Get tokens: for a client's id and secret, for a refresh token, or for a device code.",
            body=FormBody(partial(read_form, shape=TokenForm), TokenForm),
            replies={200: TokenReply},
            refusal=oauth_refusal,
        ),
    )


def _credentials(call: Call[Principal]) -> ClientCredentials:
    """In the form, as existing clients send them, or in HTTP Basic, as OAuth libraries do; never in both."""
    form: TokenForm = call.body
    basic = read_basic(call.arrival.headers.get("authorization", ""))
    if basic is None:
        return ClientCredentials(_required(form.client_id, "client_id"), _required(form.client_secret, "client_secret"))
    if form.client_secret is not None:
        raise InvalidInputError("doubled-parameter", "The client's secret came in the form and in the header.")
    return ClientCredentials(*basic)


def _required(value: str | None, name: str) -> str:
    if value is None:
        raise InvalidInputError("missing-field", f"The form lacks {name}.", fields={name: "missing"})
    return value


def _spelled(scopes: frozenset[Scope], factory: Factory) -> str:
    return " ".join(sorted(f"{factory.name}:{scope.value}" for scope in scopes))
