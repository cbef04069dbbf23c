"""What a user is in a factory, and what a token may be used for."""

from enum import StrEnum


class Role(StrEnum):
    """What a user is in a factory."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    AUDITOR = "auditor"


class Scope(StrEnum):
    """What an API token may be used for, in the spelling of the wire (protocol: api.md §2)."""

    DEVICES_READ = "devices:read"
    DEVICES_READ_UPDATE = "devices:read-update"
    DEVICES_CREATE = "devices:create"
    DEVICES_DELETE = "devices:delete"
    USERS_READ = "users:read"
    CERTS_READ = "certs:read"
    CERTS_MANAGE = "certs:manage"
