"""What can be set about a database; the defaults suit every size."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageOptions:
    """Limits of one database.

    Attributes:
        refusals_kept: refusal records per factory. Strangers mint certificates for ever; without a bound they would
            fill the disk.
        held_devices_kept: devices held for review per device CA, some 100 MB of rows. Only who holds the CA's key can
            fill them, and then finds no room, while other CAs have theirs.
        changes_kept: rows of the change feed. A process that is further behind reloads everything it holds.
        pending_keys_kept: pending backend keys per factory and kind; abandoned requests are normal and do not pile up.
        sessions_kept: sessions per user. One who signs in everywhere leaves the oldest.
        grants_kept: logins per OAuth client, so that a script that logs in for each call does not fill the disk.
        login_tokens_kept: tokens per login, used ones too: more than a week of one renewal an hour, so that a program
            that renews all day does not fill the disk.
        busy_timeout_seconds: how long a writer waits for another process before it answers `database-unavailable`.
        read_connections: connections for `Database.read`; more readers than that wait for one another.
        members_per_commit: how many works one transaction carries at most, so that other processes get their turn.
    """

    refusals_kept: int = 1_000
    held_devices_kept: int = 100_000
    changes_kept: int = 20_000
    pending_keys_kept: int = 4
    sessions_kept: int = 10
    grants_kept: int = 1_000
    login_tokens_kept: int = 400
    busy_timeout_seconds: int = 5
    read_connections: int = 8
    members_per_commit: int = 256
