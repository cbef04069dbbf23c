"""One declaration per endpoint: it becomes the route and the OpenAPI entry, so that the two cannot drift apart.

The edge is generic in who calls (`Caller`): the package that declares endpoints also brings the guard that turns a
credential into a caller, and no endpoint is reachable without either passing the guard or saying `PUBLIC` aloud.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from ownroot.errors import OwnrootError

Caller = TypeVar("Caller")
GuardCaller_co = TypeVar("GuardCaller_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller must bring; what scopes and roles mean is the guard's business.

    Args:
        scopes: any one of these, in the spelling of the wire. Empty: a valid token is enough.
        roles: when not empty, the caller must also have one of these roles.
        or_roles: roles that may pass without any of the scopes.
        audited: whether turning an authenticated caller away is an act for the audit log.
        one_device: whether a token that is good for one device's registration and nothing else is enough.
    """

    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    or_roles: tuple[str, ...] = ()
    audited: bool = False
    one_device: bool = False


PUBLIC = None
"""The access of an endpoint that wants no credential."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request before anyone is known to stand behind it, with its body unread.

    Args:
        path: parameters of the path, percent-decoded, without control characters.
        query: parameters of the query; of a repeated one the last. Empty values are absent.
        credential: the token as sent, or None.
        client_address: the peer's, or what a trusted proxy says about its peer.
        base_url: scheme and host as the caller wrote them, without a slash at the end.
        client_certificate_name: the CN of the certificate the TLS layer verified, empty without one.
        headers: as sent, names in lower case; of a repeated one the first.
    """

    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    credential: str | None
    client_address: str
    request_id: str
    base_url: str
    now: datetime
    client_certificate_name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Call(Generic[Caller]):
    """A request let in: `caller` passed the guard, `body` and `query` have the shapes the endpoint declares."""

    arrival: Arrival
    body: Any = None
    query: Any = None
    admitted: Caller | None = None

    @property
    def caller(self) -> Caller:
        """Who calls. Only endpoints that are not public have one."""
        if self.admitted is None:
            raise LookupError("a public endpoint has no caller")
        return self.admitted

    @property
    def path(self) -> Mapping[str, str]:
        """Parameters of the path."""
        return self.arrival.path

    @property
    def now(self) -> datetime:
        """When the request came in."""
        return self.arrival.now


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: a document (JSON), bytes as they are (`media_type` says what), or nothing."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class JsonBody:
    """How a request body is read and what OpenAPI says about it.

    Args:
        parse: bytes to shape; raises InvalidInputError. Gets the empty body too.
        shape: the type `parse` returns.
        required: whether OpenAPI calls the body required.
        max_bytes: where it may be longer than others; None: it may not.
    """

    parse: Callable[[bytes], Any]
    shape: type[msgspec.Struct]
    required: bool = True
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class FormBody:
    """A body as browsers and OAuth clients send it: application/x-www-form-urlencoded. Args as `JsonBody`."""

    parse: Callable[[bytes], Any]
    shape: type[msgspec.Struct]
    required: bool = True
    max_bytes: int | None = None


class Guard(Protocol[GuardCaller_co]):
    """Turns a credential into a caller."""

    async def admit(self, arrival: Arrival, access: Access) -> GuardCaller_co:
        """Raises UnauthenticatedError, RefusedError or NotFoundError (the path names what the caller may not see)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Generic[Caller]):
    """One method on one path.

    Args:
        method: GET answers HEAD too.
        path: with `{name}` for parameters; a slash at the end is significant and never added or removed.
        access: what the caller must bring, or `PUBLIC`.
        summary: one sentence for OpenAPI.
        query: shape of the query; every field has a default, unknown parameters are ignored.
        replies: success statuses and the type of their documents (None: no document).
        refusal: how this endpoint says an error, where a protocol or a person wants another form than ours.
        hidden: left out of OpenAPI (pages for people, and for machines of the operator).
    """

    method: str
    path: str
    handler: Callable[[Call[Caller]], Awaitable[Reply]]
    access: Access | None
    summary: str
    body: JsonBody | FormBody | None = None
    query: type[msgspec.Struct] | None = None
    replies: Mapping[int, Any] = field(default_factory=lambda: {200: None})
    refusal: Callable[[OwnrootError], Reply] | None = None
    hidden: bool = False
