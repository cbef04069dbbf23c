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
from ownroot.services.authorize_registration import (
    CODE_LIFETIME,
    POLL_INTERVAL,
    TOKEN_LIFETIME,
    ask_to_register,
    redeem_code,
    require_allowed,
)
from ownroot.services.oauth_logins import ClientCredentials, IssuedTokens, log_in_client, refresh_login
from ownroot.services.records import Factory
from ownroot.services.scopes import Scope
from ownroot.services.steps import Steps
from ownroot.services.user_codes import shown_user_code
from ownroot.web.credentials import read_basic
from ownroot.web.endpoint import PUBLIC, Call, Endpoint, FormBody, Reply
from ownroot.wire.forms import read_form
from ownroot.wire.oauth import (
    CLIENT_CREDENTIALS,
    DEVICE_CODE,
    REFRESH_TOKEN,
    AuthorizationForm,
    AuthorizationReply,
    Org,
    TokenForm,
    TokenReply,
)

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
        if form.grant_type == CLIENT_CREDENTIALS:
            peer = call.arrival.client_address
            return await self._issue(call, partial(log_in_client, scope=form.scope, peer=peer, now=call.now))
        if form.grant_type == REFRESH_TOKEN:
            shown = _required(form.refresh_token, "refresh_token")
            return await self._issue(call, partial(refresh_login, refresh_token=shown, scope=form.scope, now=call.now))
        if form.grant_type == DEVICE_CODE:
            return await self._redeem(call)
        raise InvalidInputError("grant-unsupported", f"This server has no grant {form.grant_type[:80]!r}.")

    async def authorize_device(self, call: Call[Principal]) -> Reply:
        """Give a device the codes with which somebody may allow it to register."""
        form: AuthorizationForm = call.body
        peer = call.arrival.client_address
        asked = await self._backend.run(ask_to_register(form.client_id, form.scope, peer=peer, now=call.now))
        page = f"{self._backend.public_url or call.arrival.base_url}/activate/"
        shown = shown_user_code(asked.user_code)
        reply = AuthorizationReply(
            device_code=asked.device_code,
            user_code=shown,
            verification_uri=page,
            verification_uri_complete=f"{page}?user_code={shown}",
            expires_in=int(CODE_LIFETIME.total_seconds()),
            interval=int(POLL_INTERVAL.total_seconds()),
        )
        return Reply(200, reply, _NO_CACHE)

    async def _redeem(self, call: Call[Principal]) -> Reply:
        """Polls only read; whoever may have a token writes."""
        form: TokenForm = call.body
        code, device = _required(form.device_code, "device_code"), _required(form.client_id, "client_id")
        await self._backend.read(lambda uow: require_allowed(uow, code, device, now=call.now))
        issued = await self._backend.run(redeem_code(code, device, now=call.now))
        reply = TokenReply(
            access_token=issued.token,
            expires_in=int(TOKEN_LIFETIME.total_seconds()),
            scope=_spelled(frozenset({Scope.DEVICES_CREATE}), issued.factory),
            orgs=(Org(name=issued.factory.name),),
        )
        return Reply(200, reply, _NO_CACHE)

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
        Endpoint(
            method="POST",
            path="/oauth/authorization/device/",
            handler=pages.authorize_device,
            access=PUBLIC,
            summary="Ask for the codes with which a member of the factory may allow a device to register.",
            body=FormBody(partial(read_form, shape=AuthorizationForm), AuthorizationForm),
            replies={200: AuthorizationReply},
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
