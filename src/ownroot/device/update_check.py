"""A device's refresh: roots one by one, timestamp, snapshot, targets; each accepted by `tuf.device_rules` and kept.

The first root is one this device was made with. Without any, root 1 of the gateway is believed on first use: the
connection is verified by the device's own root certificate, and from then on only the TUF keys count.

A clock that was set back must not make old documents fresh again: time is never earlier than when everything was last
found fresh. What was fresh then ends later than that, and newer documents end later still, so nothing is locked out.

Source: tuf.md §7, §8.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from ownroot.client.gateway import GatewayClient
from ownroot.client.refusals import error_of
from ownroot.device.accepted_metadata import AcceptedMetadata
from ownroot.device.identity import DeviceIdentity, read_certificate
from ownroot.errors import InvalidInputError, NotFoundError, RefusedError
from ownroot.pki.encoding import sha256
from ownroot.pki.names import read_subject
from ownroot.tuf.device_rules import MAX_ROOT_STEPS, Described, DeviceTrust, Verified, too_long
from ownroot.tuf.metadata import ROOT_MAX_OCTETS, TIMESTAMP_MAX_OCTETS, Role

_SHARED_ROOTS: Final = 2  # roots 1 and 2 are the same for test and production devices
# A gateway serves what it has read for a second, and fetching is four requests and more.
_PUBLISHING_SECONDS: Final = 1.5
_WHILE_PUBLISHING: Final = frozenset(("tuf-mix-and-match", "tuf-signatures-missing", "tuf-too-long"))
_HTTP_OK, _HTTP_NOT_FOUND = 200, 404


class Beginning(StrEnum):
    """Where the trust of a run began."""

    KEPT = "kept"
    PROVISIONED = "provisioned"
    FIRST_USE = "first-use"


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a run ended with. `now`: the time it went by, which is later than the clock's if that was set back."""

    trust: DeviceTrust
    beginning: Beginning
    now: datetime


class UpdateCheck:
    """One run.

    Args:
        provisioned: directory with `ci/` and `prod/`, each with `1.root.json` and so on; it may be missing.
        wait: lets seconds pass.
    """

    def __init__(
        self,
        identity: DeviceIdentity,
        gateway: GatewayClient,
        kept: AcceptedMetadata,
        provisioned: Path,
        *,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gateway = gateway
        self._kept = kept
        self._identity = identity
        self._provisioned = provisioned
        self._wait = wait

    def refresh(self, clock: datetime) -> Refreshed:
        """Fetch, judge and keep what is new.

        Raises:
            RefusedError: `tuf-...`, the name of the rule; what was accepted before stays. Codes of the gateway.
            NotFoundError: `update-tags-unknown`: there are no targets for the tags of this device;
                `update-repository-unknown`: the gateway has no root at all.
            InvalidInputError: `update-metadata-damaged`, `update-metadata-mode`, `device-directory`;
                `initial-root-unusable`.
            OwnrootError: as `GatewayClient.request` and `error_of`.
        """
        with self._kept.alone():
            fresh_at = self._kept.fresh_at()
            now = clock if fresh_at is None else max(clock, fresh_at)
            trust, beginning = self._begin()
            self._walk(trust, now)
            self._kept.note_fresh(now)
        return Refreshed(trust, beginning, now)

    def _walk(self, trust: DeviceTrust, now: datetime) -> None:
        """Once more after a moment if what was fetched first and last does not fit: the factory may have published."""
        try:
            self._walk_roots(trust)
            self._walk_down(trust, now)
        except RefusedError as error:
            if error.code not in _WHILE_PUBLISHING:
                raise
            self._wait(_PUBLISHING_SECONDS)
            self._walk_roots(trust)
            self._walk_down(trust, now)

    def _begin(self) -> tuple[DeviceTrust, Beginning]:
        trust = self._kept.load()
        if trust is not None:
            return trust, Beginning.KEPT
        trust = _provisioned_trust(self._provisioned, production=_is_production(self._identity))
        if trust is not None:
            self._kept.keep_root(trust)
            return trust, Beginning.PROVISIONED
        data = self._fetch("1.root.json", Role.ROOT, ROOT_MAX_OCTETS)
        if data is None:
            raise NotFoundError("update-repository-unknown", "The gateway has no update metadata for this factory.")
        trust = DeviceTrust(data)
        if trust.root.version != 1:
            raise RefusedError("tuf-root-version", f"The first root is root 1, not {trust.root.version}.")
        self._kept.keep_root(trust)
        return trust, Beginning.FIRST_USE

    def _walk_roots(self, trust: DeviceTrust) -> None:
        for _ in range(MAX_ROOT_STEPS):
            data = self._fetch(f"{trust.root.version + 1}.root.json", Role.ROOT, ROOT_MAX_OCTETS)
            if data is None:
                return
            trust.update_root(data)
            self._kept.keep_root(trust)
        raise RefusedError(
            "tuf-too-many-roots", f"There were {MAX_ROOT_STEPS} new roots and more. Check again to go on from there."
        )

    def _walk_down(self, trust: DeviceTrust, now: datetime) -> None:
        timestamp = self._required(Role.TIMESTAMP, TIMESTAMP_MAX_OCTETS)
        trust.update_timestamp(timestamp, now=now)
        self._kept.keep(Role.TIMESTAMP, timestamp)
        snapshot = self._announced(Role.SNAPSHOT, trust.snapshot_described(), trust.snapshot)
        trust.update_snapshot(snapshot, now=now)
        self._kept.keep(Role.SNAPSHOT, snapshot)
        targets = self._announced(Role.TARGETS, trust.targets_described(), trust.targets)
        trust.update_targets(targets, now=now)
        self._kept.keep(Role.TARGETS, targets)

    def _announced(self, role: Role, described: Described, kept: Verified | None) -> bytes:
        if kept is not None and described.sha256 is not None and sha256(kept.data).hex() == described.sha256:
            return kept.data
        return self._required(role, described.most_octets)

    def _required(self, role: Role, most: int) -> bytes:
        data = self._fetch(f"{role.value}.json", role, most)
        if data is None:
            raise NotFoundError(
                "update-tags-unknown",
                f"The gateway has no {role.value} for the tags of this device ({self._identity.tags or 'none'}). "
                "Its owner publishes a target to one of them, or gives the device another tag.",
            )
        return data

    def _fetch(self, name: str, role: Role, most: int) -> bytes | None:
        headers = {"x-ats-tags": self._identity.tags} if self._identity.tags else {}
        try:
            answer = self._gateway.request("GET", f"/repo/{name}", headers=headers, answer_bytes=most)
        except InvalidInputError as error:
            if error.code != "answer-too-large":
                raise
            raise too_long(role, most) from error
        if answer.status == _HTTP_NOT_FOUND:
            return None
        if answer.status != _HTTP_OK:
            raise error_of(answer)
        return answer.body


def _is_production(identity: DeviceIdentity) -> bool:
    return read_subject(read_certificate(identity).subject).is_production


def _provisioned_trust(directory: Path, *, production: bool) -> DeviceTrust | None:
    """Walk the roots this device was made with; None if there are none.

    Raises:
        InvalidInputError: `initial-root-unusable`.
    """
    trust: DeviceTrust | None = None
    path = directory
    try:
        for path in _provisioned_files(directory, production=production):
            if trust is None:
                trust = DeviceTrust(path.read_bytes())
            else:
                trust.update_root(path.read_bytes())
    except (OSError, RefusedError) as error:
        reason = error.detail if isinstance(error, RefusedError) else f"{error.strerror}."
        raise InvalidInputError("initial-root-unusable", f"{path} is no root to begin with: {reason}") from error
    return trust


def _provisioned_files(directory: Path, *, production: bool) -> Iterator[Path]:
    """A production device whose maker put only `ci/` there begins with the roots that are the same for all."""
    own, shared = directory / ("prod" if production else "ci"), directory / "ci"
    chosen = own if own.is_dir() else shared
    last = _SHARED_ROOTS if production and chosen == shared else MAX_ROOT_STEPS
    for version in range(1, last + 1):
        path = chosen / f"{version}.root.json"
        if not path.exists():
            return
        yield path
