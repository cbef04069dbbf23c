"""What logins need from outside: passwords, sessions, OAuth clients and their tokens, devices that wait for a yes.

Every secret is stored as its hash alone. The rules of `services.ports` hold here too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from ownroot.pki.names import DeviceUuid
from ownroot.services.scopes import Scope


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody signed in to the pages for people."""

    id: int
    polis_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthClient:
    """A program that logs in by itself as a user of one factory; `expires_at` None means it has no end.

    `id` is the row, `client_id` the name it calls itself by.
    """

    id: int
    client_id: str
    secret_sha256: bytes
    factory_id: int
    polis_id: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None


class OAuthTokenKind(StrEnum):
    """What a token of a client's login is for."""

    ACCESS = "access"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthToken:
    """A token of a login (a grant) without its secret. `replaced_at`: when a refresh token's successor was made."""

    id: int
    grant_id: int
    client: OAuthClient
    scopes: frozenset[Scope]
    kind: OAuthTokenKind
    expires_at: datetime
    replaced_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to store; `scopes` None: those of its login."""

    kind: OAuthTokenKind
    token_sha256: bytes
    expires_at: datetime
    scopes: frozenset[Scope] | None = None


class AuthorizationState(StrEnum):
    """Where a device's request to be registered stands."""

    PENDING = "pending"
    ALLOWED = "allowed"
    DENIED = "denied"
    REDEEMED = "redeemed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAuthorization:
    """A device that asks a person for leave to register.

    Attributes:
        uuid: what the device calls itself; unverified, and chosen by whoever asked.
        peer: the network address that asked.
        expires_at: end of the codes; once redeemed, end of the token.
        decided_by: polis-id of who said yes or no.
        spki_sha256: the key that was registered with the token, None before.
    """

    id: int
    factory_id: int
    uuid: DeviceUuid
    user_code: str
    peer: str
    state: AuthorizationState
    created_at: datetime
    expires_at: datetime
    decided_by: str | None = None
    spki_sha256: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A device's request to store; it is pending."""

    factory_id: int
    uuid: DeviceUuid
    code_sha256: bytes
    user_code: str
    peer: str
    created_at: datetime
    expires_at: datetime


class Logins(Protocol):
    """Passwords and sessions of people."""

    def set_password(self, polis_id: str, phc: str, *, now: datetime) -> None:
        """Store or replace; the user's sessions end."""
        ...

    def find_password(self, polis_id: str) -> str | None:
        """The PHC string."""
        ...

    def with_password(self) -> frozenset[str]:
        """The polis-ids of everybody who has one."""
        ...

    def add_session(self, polis_id: str, *, secret_sha256: bytes, now: datetime, expires_at: datetime) -> None:
        """Keeps the newest few of the user and drops the rest and all that have ended."""
        ...

    def find_session(self, secret_sha256: bytes) -> Session | None: ...
    def delete_session(self, secret_sha256: bytes) -> None:
        """No error if there is none."""
        ...

    def sweep(self, *, now: datetime) -> None:
        """Drop what has ended."""
        ...


class OAuth(Protocol):
    """Clients, their logins and the tokens of those."""

    def add_client(self, client: OAuthClient) -> OAuthClient:
        """Store it; `client.id` counts for nothing, the one returned does. Raises ConflictError `client-exists`."""
        ...

    def find_client(self, client_id: str) -> OAuthClient | None: ...
    def list_clients(self, factory_id: int) -> Sequence[OAuthClient]: ...
    def delete_client(self, client: OAuthClient) -> None:
        """Forget it with all its tokens."""
        ...

    def add_grant(self, client: OAuthClient, scopes: frozenset[Scope], *, now: datetime) -> int:
        """Returns the id of a new login. Keeps the newest of the client's and drops the rest."""
        ...

    def add_tokens(self, grant_id: int, tokens: Sequence[NewToken]) -> None:
        """Keeps the newest few hundred of the login, used ones too, and drops the rest."""
        ...

    def find_token(self, token_sha256: bytes) -> OAuthToken | None: ...
    def replace_token(self, token_id: int, *, now: datetime, forget_at: datetime) -> None:
        """Mark a refresh token as replaced; a second time changes nothing."""
        ...

    def count_unused(self, grant_id: int, *, now: datetime) -> int:
        """How many refresh tokens of a login were never used and have not ended."""
        ...

    def forget_unused(self, token: OAuthToken) -> None:
        """Drop the refresh tokens of its login that are older than this one and were never used."""
        ...

    def delete_grant(self, grant_id: int) -> None:
        """Forget a login with all its tokens."""
        ...

    def sweep(self, *, now: datetime) -> None:
        """Drop tokens that have ended, and logins without any."""
        ...


class DeviceAuthorizations(Protocol):
    """Devices that ask to be registered."""

    def add(self, request: AuthorizationRequest) -> bool:
        """Store it in place of an earlier pending one of the same device and peer; False if the user code is taken."""
        ...

    def find_by_code(self, code_sha256: bytes) -> DeviceAuthorization | None: ...
    def find_by_user_code(self, user_code: str) -> DeviceAuthorization | None: ...
    def find_by_token(self, token_sha256: bytes) -> DeviceAuthorization | None: ...
    def count_pending(self, factory_id: int, peer: str, *, now: datetime) -> tuple[int, int]:
        """How many wait for a decision: of the factory, and of the peer in all factories."""
        ...

    def decide(self, authorization_id: int, state: AuthorizationState, *, by: str) -> bool:
        """Allow or deny a pending one; False if it is not pending any more."""
        ...

    def redeem(self, authorization_id: int, *, token_sha256: bytes, expires_at: datetime) -> bool:
        """Turn an allowed one into a token; False if it is not allowed, or redeemed already."""
        ...

    def bind_key(self, authorization_id: int, spki_sha256: bytes) -> bool:
        """Spend the token on a key; True as well if it was spent on this very key before."""
        ...

    def sweep(self, *, before: datetime) -> None:
        """Drop what ended before a time."""
        ...
