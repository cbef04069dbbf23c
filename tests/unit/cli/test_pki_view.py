"""A PKI as its owner sees it: kind, standing and holder of every certificate."""

from datetime import date, timedelta

import pytest

from ownroot.cli.pki_view import Kind, Standing, view_pki
from ownroot.client.api import CertsAnswer
from ownroot.pki.encoding import certificate_pem
from ownroot.wire.certs import FactoryCerts
from tests.support.certificates import NOW, device_ca, entity, factory_root, gateway_tls

ROOT = factory_root()
LOCAL = device_ca(ROOT, subject=entity("fio-abc"))
ONLINE = device_ca(ROOT, subject=entity("gateway.localhost"))
TLS = gateway_tls(ROOT)


def _answer(*disabled: int, est_tls: bool = False, online: tuple[int, ...] | None = None) -> CertsAnswer:
    pem = certificate_pem
    certs = FactoryCerts(
        root_crt=pem(ROOT.certificate),
        tls_crt=pem(TLS.certificate),
        est_tls_crt=pem(TLS.certificate) if est_tls else None,
        ca_crt=pem(ONLINE.certificate) + "\n" + pem(LOCAL.certificate),
        disabled_ca_serials=tuple(map(str, disabled)),
        online_ca_serials=None if online is None else tuple(map(str, online)),
    )
    return CertsAnswer(certs, is_taken_over=True)


def test_device_cas_are_told_apart_by_their_name() -> None:
    assert [ca.kind for ca in view_pki(_answer(), NOW).device_cas] == [Kind.ONLINE_CA, Kind.LOCAL_CA]


def test_server_that_says_which_keys_it_has_shows_a_ca_of_another_one() -> None:
    serial = ONLINE.certificate.serial_number
    assert [ca.kind for ca in view_pki(_answer(online=(serial,)), NOW).device_cas] == [Kind.ONLINE_CA, Kind.LOCAL_CA]
    assert [ca.kind for ca in view_pki(_answer(online=()), NOW).device_cas] == [Kind.FOREIGN_CA, Kind.LOCAL_CA]


def test_holder_of_a_local_ca_is_the_user_it_names() -> None:
    online, local = view_pki(_answer(), NOW).device_cas
    assert online.holder == "the server"
    assert "user abc" in local.holder


def test_disabled_serial_is_shown_as_disabled_and_only_that_one() -> None:
    online, local = view_pki(_answer(LOCAL.certificate.serial_number), NOW).device_cas
    assert (online.standing, local.standing) == (Standing.VALID, Standing.DISABLED)


@pytest.mark.parametrize(
    ("moment", "standing"),
    [
        (ROOT.certificate.not_valid_before_utc - timedelta(seconds=1), Standing.NOT_YET_VALID),
        (ROOT.certificate.not_valid_before_utc, Standing.VALID),
        (ROOT.certificate.not_valid_after_utc, Standing.VALID),
        (ROOT.certificate.not_valid_after_utc + timedelta(seconds=1), Standing.EXPIRED),
    ],
)
def test_validity_includes_its_first_and_last_second(moment: object, standing: Standing) -> None:
    root = view_pki(_answer(), moment).root  # type: ignore[arg-type]
    assert root is not None
    assert root.standing is standing


def test_last_safe_day_leaves_each_kind_the_time_its_replacement_takes() -> None:
    view = view_pki(_answer(est_tls=True), NOW)
    shown = [entry for entry in (view.root, view.tls, view.est_tls, *view.device_cas) if entry is not None]
    assert [(entry.kind, entry.last_safe_day) for entry in shown] == [
        (Kind.ROOT, date(2045, 11, 23)),
        (Kind.GATEWAY_TLS, date(2036, 10, 24)),
        (Kind.EST_TLS, date(2036, 10, 24)),
        (Kind.ONLINE_CA, date(2036, 8, 25)),
        (Kind.LOCAL_CA, date(2036, 8, 25)),
    ]
    assert [entry.document()["last-safe-day"] for entry in shown][:2] == ["2045-11-23", "2036-10-24"]


def test_shared_pki_is_empty() -> None:
    view = view_pki(CertsAnswer(FactoryCerts(), is_taken_over=False), NOW)
    assert (view.root, view.tls, view.est_tls, view.device_cas) == (None, None, None, ())
