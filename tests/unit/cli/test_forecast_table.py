"""A forecast as one table."""

from datetime import date

from ownroot.cli.forecast_table import Line, lines_of
from ownroot.cli.pki_view import PkiView, view_pki
from ownroot.client.api import CertsAnswer
from ownroot.pki.encoding import certificate_pem
from ownroot.wire.certs import FactoryCerts
from ownroot.wire.forecast import ForecastObject
from tests.support.certificates import NOW, factory_root
from tests.unit.cli.test_forecast_findings import TODAY, ca, day, root, week

NOTHING = PkiView(root=None, tls=None, est_tls=None, device_cas=())


def lines(forecast: ForecastObject, view: PkiView = NOTHING) -> list[tuple[str, str | None, str]]:
    return [(line.what, line.ends, line.remark) for line in lines_of(view, forecast)]


def forecast(*cas: object, without_ca: int = 0, tuf: tuple[object, ...] = ()) -> ForecastObject:
    return ForecastObject(
        factory="acme",
        now=f"{TODAY}T12:00:00+00:00",
        weeks=26,
        device_cas=cas,  # type: ignore[arg-type]
        without_ca=without_ca,
        tuf=tuf,  # type: ignore[arg-type]
    )


def test_the_most_urgent_comes_first_and_what_nobody_can_tell_last() -> None:
    pem = certificate_pem(factory_root().certificate)
    view = view_pki(CertsAnswer(FactoryCerts(root_crt=pem), is_taken_over=True), NOW)
    found = lines(forecast(ca(week(), unknown=3), tuf=(root(last_safe_day=day(-1)),)), view)
    assert [what.split()[0] for what, _, _ in found] == ["TUF", "5", "Factory", "3"]


def test_devices_seldom_seen_are_called_out_beside_the_others() -> None:
    ending = week(9, overdue=1, rarely_seen=2, never_seen=3)
    assert lines(forecast(ca(ending))) == [
        ("9 devices of CA 7", f"week of {day(210)}", "1 overdue, 2 rarely seen, 3 never seen")
    ]


def test_devices_that_ended_and_those_no_ca_vouches_for_have_a_line_each() -> None:
    assert lines(forecast(ca(expired=4, later=week(6)), without_ca=2)) == [
        ("6 devices of CA 7", "in over 26 weeks", ""),
        ("4 devices of CA 7", "ended already", "cannot connect"),
        ("2 devices whose last certificate no device CA of today signed", None, ""),
    ]


def test_a_serial_is_shortened_and_what_has_none_or_a_short_one_stays() -> None:
    long = ca(unknown=1, serial="503227" * 8)
    (line,) = lines_of(NOTHING, forecast(long))
    assert (line.what, line.shortened().what) == (f"1 device of CA {long.serial}", "1 device of CA 50322750…")
    for short in lines_of(NOTHING, forecast(ca(unknown=1), tuf=(root(),))):
        assert short.shortened() == short


def test_a_tuf_document_says_who_renews_it_and_how_many_must_sign() -> None:
    timestamp = root(role="timestamp", tag="main", by_owner=False, keys=1)
    ((what, ends, remark),) = lines(forecast(tuf=(timestamp,)))
    assert what == "TUF timestamp, version 2, for ci devices of tag main"
    assert (ends, remark) == (day(300), "the server renews it; 1 of 1 keys sign")


def test_the_last_safe_day_itself_is_not_too_late() -> None:
    assert [Line("", None, when).left(TODAY) for when in (TODAY, date(2026, 11, 22), date(2026, 11, 25), None)] == [
        "0 days",
        "act now",
        "2 days",
        "not known",
    ]
