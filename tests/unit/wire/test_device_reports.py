"""Reports of devices are read, or refused by name, whatever they hold."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError
from ownroot.wire.device_reports import MAX_DEPTH, MAX_DETAILS_BYTES, parse_events, parse_report, storable
from ownroot.wire.documents import write_document
from tests.support.reporting import an_event

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def outcome(read: Callable[[bytes], object], body: bytes) -> str:
    """`read`, or the code of the refusal; anything else leaves as it is and fails the test."""
    try:
        read(body)
    except InvalidInputError as refused:
        return refused.code
    return "read"


@given(st.lists(ANY_JSON))
def test_any_array_is_a_list_of_events_or_refused_by_name(entries: list[Any]) -> None:
    body = json.dumps([*entries, an_event()]).encode()
    # Python writes NaN, which is no JSON.
    assert outcome(parse_events, body) in ("read", "events-not-an-array")


@given(st.text(), st.text(), st.text(), st.none() | st.booleans())
def test_what_is_kept_of_an_event_is_bounded_and_can_be_written(
    target: str, version: str, details: str, success: bool | None
) -> None:
    told = an_event(targetName=target, version=version, details=details * 500, success=success)
    (event,) = parse_events(json.dumps([told]).encode("utf-8", "surrogatepass"))
    assert len(event.event.details.encode()) <= MAX_DETAILS_BYTES
    assert "\0" not in event.event.details
    assert json.loads(write_document(event))["event"]["success"] is success


@given(st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_report_or_refused_by_name(body: bytes) -> None:
    assert outcome(parse_report, body) in ("read", "report-unreadable")


def test_report_is_as_deep_as_allowed_and_no_deeper() -> None:
    parse_report(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert outcome(parse_report, b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)) == "report-unreadable"


@given(st.text(), st.integers(0, 20))
def test_cut_text_has_so_many_bytes_at_most_and_begins_like_the_whole(text: str, most: int) -> None:
    cut = storable(text, most)
    assert len(cut.encode()) <= most
    assert text.replace("\0", "").startswith(cut)
