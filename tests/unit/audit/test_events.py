"""Canonical bytes of audit events: the same for ever, for every text."""

import dataclasses
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.audit.events import AuditEvent, EventKind, canonical_bytes, parse_event
from ownroot.errors import InvalidInputError

AT = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
EVENT = AuditEvent(7, AT, "0123456789abcdef01234567", EventKind.DEVICE_DELETED, "dev-1", {"name": "one", "by": "api"})

any_text = st.text(st.characters(exclude_categories=[]))


def test_canonical_bytes_are_frozen() -> None:
    assert canonical_bytes(EVENT) == (
        b'{"actor":"0123456789abcdef01234567","at":1795435200,"details":{"by":"api","name":"one"},"factory":7,'
        b'"kind":"device:deleted","subject":"dev-1","v":1}'
    )


def test_order_of_details_does_not_matter() -> None:
    turned = dataclasses.replace(EVENT, details={"by": "api", "name": "one"})
    assert canonical_bytes(turned) == canonical_bytes(EVENT)


def test_one_changed_detail_changes_the_bytes() -> None:
    assert canonical_bytes(dataclasses.replace(EVENT, details={"name": "two", "by": "api"})) != canonical_bytes(EVENT)


@given(st.one_of(st.none(), st.integers(1, 2**62)), any_text, any_text, st.dictionaries(any_text, any_text))
def test_every_event_reads_back_as_it_was(
    factory_id: int | None, actor: str, subject: str, details: dict[str, str]
) -> None:
    event = AuditEvent(factory_id, AT, actor, EventKind.LOGIN_REFUSED, subject, details)
    assert parse_event(canonical_bytes(event)) == event


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b"{}",
        canonical_bytes(EVENT).replace(b"device:deleted", b"device:vanished"),
        canonical_bytes(EVENT).replace(b'"v":1', b'"v":2'),
        canonical_bytes(EVENT).replace(b"1795435200", b'"now"'),
    ],
)
def test_what_is_no_entry_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_event(body)
    assert refused.value.code == "audit-entry-malformed"


def test_kinds_are_named_area_and_act() -> None:
    assert all(kind.value.count(":") == 1 for kind in EventKind)
