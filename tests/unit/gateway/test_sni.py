"""Names and contexts; what a handshake makes of them is in tests/integration/gateway/test_handshake.py."""

import pytest
from OpenSSL import SSL

from ownroot.errors import KeyStoreError
from ownroot.gateway.sni import Site, SiteTable
from ownroot.gateway.tls_context import make_base_context


def site(key: int) -> Site:
    return Site(key, b"identity", lambda: make_base_context(lambda _connection: None))


def table() -> SiteTable:
    sites = SiteTable()
    first = site(1)
    sites.replace({"gw.example": first, "acme.gw.example": site(2)}, default=first)
    return sites


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("acme.gw.example", 2),
        ("ACME.gw.Example", 2),
        ("acme.gw.example.", 2),
        ("ostree.acme.gw.example", 2),
        ("OSTREE.acme.gw.example", 2),
        ("ostree.ostree.acme.gw.example", 1),
        ("other.gw.example", 1),
        ("", 1),
        (None, 1),
    ],
)
def test_name_finds_its_site_or_the_default(name: str | None, key: int) -> None:
    found = table().find(name)
    assert found is not None
    assert found.key == key


def test_host_belongs_to_a_site_only_by_its_exact_name() -> None:
    sites = table()
    assert sites.owner_of("ostree.acme.gw.example") == 2
    assert sites.owner_of("gw.example.") == 1
    assert sites.owner_of("other.gw.example") is None


def test_table_without_default_has_nothing_for_strangers() -> None:
    sites = SiteTable()
    sites.replace({"gw.example": site(1)}, default=None)
    assert sites.find("other.example") is None
    assert sites.find("gw.example") is not None


def test_context_is_made_once_per_certificate() -> None:
    made: list[bytes] = []

    def context(identity: bytes) -> SSL.Context:
        made.append(identity)
        return make_base_context(lambda _connection: None)

    sites = SiteTable()
    for identity in (b"old", b"old", b"new"):
        one = Site(1, identity, lambda identity=identity: context(identity))  # type: ignore[misc]  # the loop's value is bound
        sites.replace({"gw.example": one}, default=one)
        for _ in range(2):
            chosen = sites.find("gw.example")
            assert chosen is not None
            assert chosen.make_context is not None
            assert sites.context_of(chosen, chosen.make_context) is not None
    assert made == [b"old", b"new"]


def test_site_whose_context_cannot_be_made_is_closed_until_its_certificate_changes() -> None:
    tries: list[int] = []

    def fail() -> SSL.Context:
        tries.append(1)
        raise KeyStoreError("sealed-unreadable", "no")

    sites = SiteTable()
    broken = Site(1, b"identity", fail)
    sites.replace({"gw.example": broken}, default=broken)
    assert [sites.context_of(broken, fail) for _ in range(3)] == [None] * 3
    assert len(tries) == 1
    mended = site(1)
    assert mended.make_context is not None
    assert sites.context_of(Site(1, b"next", mended.make_context), mended.make_context) is not None
