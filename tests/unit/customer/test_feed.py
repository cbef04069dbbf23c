"""The status feed is believed by the pinned root and the gateway's name alone; each refusal differs in one detail."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from ownroot.customer.feed import read_trust, verify_feed
from ownroot.errors import OwnrootError
from tests.support.certificates import NOW, device_ca, factory_root, gateway_tls
from tests.support.feed_backend import FACTORY, NAME, FeedBackend


@pytest.fixture
def backend() -> FeedBackend:
    return FeedBackend()


def _code(backend: FeedBackend, signed: object = None, **changed: object) -> str:
    pin = replace(backend.pin, **changed)  # type: ignore[arg-type]
    with pytest.raises(OwnrootError) as refused:
        verify_feed(signed or backend.status_feed(), pin, NOW)  # type: ignore[arg-type]
    return refused.value.code


def test_feed_of_the_gateway_is_believed(backend: FeedBackend) -> None:
    assert verify_feed(backend.status_feed(), backend.pin, NOW) == backend.feed()


def test_another_root_believes_nothing(backend: FeedBackend) -> None:
    assert _code(backend, root=factory_root(FACTORY, now=NOW).certificate) == "tls-not-signed-by-root"


def test_another_server_of_the_same_root_does_not_speak_for_the_fleet(backend: FeedBackend) -> None:
    backend.tls = gateway_tls(backend.root, FACTORY, now=NOW, dns_names=["api.example.com"])
    assert _code(backend) == "tls-dns-names"


def test_signature_without_our_context_is_for_something_else(backend: FeedBackend) -> None:
    assert _code(backend, backend.sign(backend.feed(), context=False)) == "status-feed-signature"


def test_changed_payload_is_refused(backend: FeedBackend) -> None:
    other = backend.sign(msgspec.structs.replace(backend.feed(), generation=2))
    assert _code(backend, msgspec.structs.replace(backend.status_feed(), payload=other.payload)) == (
        "status-feed-signature"
    )


def test_feed_of_another_factory_is_refused(backend: FeedBackend) -> None:
    backend.factory = "other"
    assert _code(backend) == "status-feed-factory"


@pytest.mark.parametrize(
    ("age", "code"),
    [(timedelta(minutes=10, seconds=1), "status-feed-expired"), (timedelta(minutes=-6), "status-feed-future")],
)
def test_feed_of_another_time_is_refused(backend: FeedBackend, age: timedelta, code: str) -> None:
    backend.now = NOW - age
    assert _code(backend) == code


def test_feed_holds_to_its_last_second(backend: FeedBackend) -> None:
    backend.now = NOW - timedelta(minutes=10)
    assert verify_feed(backend.status_feed(), backend.pin, NOW).generation == 1


@pytest.mark.parametrize("seconds", [-1, 0, 24 * 60 * 60 + 1, 10**18])
def test_feed_that_holds_for_no_time_or_too_long_is_refused(backend: FeedBackend, seconds: int) -> None:
    feed = backend.feed()
    odd = backend.sign(msgspec.structs.replace(feed, expires_at=feed.issued_at + seconds))

    assert _code(backend, odd) == "status-feed-lifetime"


def test_device_ca_of_another_root_makes_the_feed_useless(backend: FeedBackend) -> None:
    backend.ca = device_ca(factory_root(FACTORY, now=NOW), factory=FACTORY, now=NOW)
    with pytest.raises(OwnrootError) as refused:
        read_trust(backend.feed(), backend.pin)
    assert refused.value.code == "device-ca-not-of-root"


def test_pin_names_the_gateway(backend: FeedBackend) -> None:
    assert _code(backend, gateway_name=f"other.{NAME}") == "tls-dns-names"
