"""What of a factory ends when: its devices' certificates by CA and week, and the documents of its TUF repository.

Certificates of the factory itself are not in here; whoever asks has them already and reads their ends from them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from ownroot.services.effective_pki import effective_pki
from ownroot.services.forecast_ports import CertificateEnds, EndsQuestion
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory
from ownroot.services.tuf_store import TagRef
from ownroot.tuf.metadata import (
    ROOT_MAX_OCTETS,
    TARGETS_MAX_OCTETS,
    Document,
    Role,
    Root,
    parse_document,
    parse_time,
    read_root,
    version_of,
)
from ownroot.tuf.repository import CI_LIFE, PRODUCTION_TIMESTAMP_LIFE

# Owners sign with keys they keep offline, and for some that is a ceremony of several people.
_OWNERS_MARGIN: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class CaForecast:
    """The devices of one device CA that is trusted today."""

    serial: int
    not_after: datetime
    ends: CertificateEnds


@dataclass(frozen=True, slots=True)
class TufForecast:
    """One TUF document.

    Attributes:
        tag: empty for a root, which is that of all tags.
        keys, threshold: who may sign for the role, and how many must.
        by_owner: the next one takes an owner; the server renews the others by itself, well before the last safe day.
        server_key: the server holds a key of the role.
    """

    role: Role
    production: bool
    tag: str
    version: int
    expires: datetime
    keys: int
    threshold: int
    by_owner: bool
    server_key: bool
    last_safe_day: date


@dataclass(frozen=True, slots=True)
class Forecast:
    """All of it. `without_ca`: devices whose last certificate no CA of today vouches for."""

    now: datetime
    cas: tuple[CaForecast, ...]
    without_ca: int
    tuf: tuple[TufForecast, ...]


def forecast(uow: UnitOfWork, factory: Factory, *, weeks: int, now: datetime) -> Forecast:
    """Look ahead for so many weeks, this one being the first."""
    pki, _ = effective_pki(uow, factory)
    cas = []
    for ca in pki.device_cas:
        end = ca.certificate.not_valid_after_utc
        question = EndsQuestion(factory.id, ca.serial, end, now, weeks)
        cas.append(CaForecast(ca.serial, end, uow.ends.by_week(question)))
    counted = sum(_count(ca.ends) for ca in cas)
    # The number of devices is kept by itself, so it may be a registration ahead.
    without = max(uow.devices.count(factory.id) - counted, 0)
    return Forecast(now, tuple(cas), without, tuple(_tuf(uow, factory)))


def _count(ends: CertificateEnds) -> int:
    return ends.unknown + ends.expired + ends.later.devices + sum(ending.devices for _, ending in ends.weeks)


def _tuf(uow: UnitOfWork, factory: Factory) -> Iterator[TufForecast]:
    if not uow.tuf.exists(factory.id):
        return
    has_root_key = Role.ROOT in uow.tuf.keys(factory.id, staged=False)
    shown = set()
    for production in (False, True):
        document = uow.tuf.find_root(factory.id, None, production=production)
        if document is None:
            continue
        root = read_root(parse_document(document, max_octets=ROOT_MAX_OCTETS).signed)
        if document not in shown:  # until the first change of the roots there is one for both
            shown.add(document)
            yield _of_root(root, production=production, server_key=has_root_key)
        for tag in uow.tuf.tags(factory.id, production=production):
            yield from _of_tag(uow, root, TagRef(factory.id, production, tag))


def _of_root(root: Root, *, production: bool, server_key: bool) -> TufForecast:
    keys = root.roles[Role.ROOT]
    return TufForecast(
        role=Role.ROOT,
        production=production,
        tag="",
        version=root.version,
        expires=root.expires,
        keys=len(keys.key_ids),
        threshold=keys.threshold,
        by_owner=True,
        server_key=server_key,
        last_safe_day=(root.expires - _OWNERS_MARGIN).date(),
    )


def _of_tag(uow: UnitOfWork, root: Root, ref: TagRef) -> Iterator[TufForecast]:
    served = uow.tuf.documents(ref)
    if served is None:
        return
    for role, document in _documents(served.targets, served.snapshot, served.timestamp).items():
        by_owner = ref.production and role is Role.TARGETS
        expires = parse_time(document.signed["expires"])
        keys = root.roles[role]
        yield TufForecast(
            role=role,
            production=ref.production,
            tag=ref.tag,
            version=version_of(document),
            expires=expires,
            keys=len(keys.key_ids),
            threshold=keys.threshold,
            by_owner=by_owner,
            server_key=True,
            last_safe_day=(expires - (_OWNERS_MARGIN if by_owner else _servers_margin(role, ref))).date(),
        )


def _documents(targets: bytes, snapshot: bytes, timestamp: bytes) -> Mapping[Role, Document]:
    served = {Role.TARGETS: targets, Role.SNAPSHOT: snapshot, Role.TIMESTAMP: timestamp}
    return {role: parse_document(document, max_octets=TARGETS_MAX_OCTETS) for role, document in served.items()}


def _servers_margin(role: Role, ref: TagRef) -> timedelta:
    """A quarter of its life: the server renews with a third left (`tuf_publishing`), so by then something is wrong."""
    return (PRODUCTION_TIMESTAMP_LIFE if ref.production and role is Role.TIMESTAMP else CI_LIFE) / 4
