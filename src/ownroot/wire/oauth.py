"""Shapes of the OAuth endpoints (protocol: api.md §1.3, registration.md §3.2; RFC 6749, RFC 8628)."""

import msgspec

from ownroot.errors import InvalidInputError
from ownroot.wire.documents import read_document

CLIENT_CREDENTIALS = "client_credentials"
REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a grant
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


class TokenForm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request for tokens. Which parameters are needed depends on `grant_type`."""

    grant_type: str
    client_id: str | None = None
    client_secret: str | None = None
    refresh_token: str | None = None
    device_code: str | None = None
    scope: str | None = None


class AuthorizationForm(msgspec.Struct, frozen=True, kw_only=True):
    """A device asks to be registered: its uuid as `client_id`, and `<factory>:devices:create`."""

    client_id: str
    scope: str


class Org(msgspec.Struct, frozen=True, kw_only=True):
    """A factory the tokens are for."""

    name: str


class TokenReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens. Existing clients need `expires_in` as a number, and `refresh_token` in every reply but a device's."""

    access_token: str
    token_type: str = msgspec.field(default_factory=lambda: "Bearer")
    expires_in: int | None = None
    refresh_token: str | None = None
    scope: str | None = None
    orgs: tuple[Org, ...] = ()


class AuthorizationReply(msgspec.Struct, frozen=True, kw_only=True):
    """The codes of a device. Numbers are JSON numbers: existing programs crash on text."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class OAuthErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal: `error` and `error_description` as RFC 6749 §5.2 has them, and what every error of ours says."""

    error: str
    error_description: str
    message: str
    code: str


def read_token_reply(body: bytes) -> TokenReply:
    """Read a reply of a token endpoint.

    Raises:
        InvalidInputError: as `wire.documents.read_document`; `bad-field`, the access token is empty.
    """
    reply = read_document(body, TokenReply)
    if not reply.access_token:
        raise InvalidInputError("bad-field", "The access token is empty.", fields={"access_token": "empty"})
    return reply


def oauth_error_body(error: str, message: str, code: str) -> OAuthErrorBody:
    """Say a refusal; the description keeps to the characters RFC 6749 allows there."""
    ascii_only = message.replace('"', "'").replace("\\", "/").encode("ascii", "replace").decode("ascii")
    return OAuthErrorBody(error=error, error_description=ascii_only, message=message, code=code)
