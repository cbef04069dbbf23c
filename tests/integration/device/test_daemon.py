"""A device that is left alone: `ownroot-device daemon` against a real gateway, as a process."""

from pathlib import Path

import pytest

from tests.support.device_daemon import daemon, order
from tests.support.renewing import SAVE, Renewing, renewing
from tests.support.world import RunningServer


@pytest.fixture
def device(server: RunningServer, line_token: str, tmp_path: Path) -> Renewing:
    return renewing(server, line_token, tmp_path)


def test_what_the_owner_pushes_arrives_and_sigterm_ends_it_cleanly(device: Renewing) -> None:
    with daemon(device) as running:
        device.push({"name": "a", "value": "1", "unencrypted": True})
        running.wait_for("configured")
        assert (device.place / "secrets" / "a").read_text() == "1"
        assert running.stop() == 0


def test_an_order_of_the_owner_is_carried_out_once(device: Renewing) -> None:
    before = device.certificate
    device.push(order(device, "certs-7"))
    with daemon(device) as running:
        assert running.wait_for("renewed").startswith("certs-7")
        renewed = device.certificate
        device.push({"name": "later", "value": "1", "unencrypted": True})
        running.wait_for("configured")
        running.stop()
    assert device.certificate == renewed
    assert all(success for _, success in device.events("certs-7"))
    device.assert_renewed(before)


def test_an_order_that_names_no_https_server_is_told_and_not_followed(device: Renewing) -> None:
    before = device.certificate
    device.push(order(device, "certs-8", scheme="http"))
    with daemon(device) as running:
        assert "renewal-order" in running.wait_for("renewal-failed")
        running.stop()
    assert device.certificate == before


def test_a_renewal_that_was_cut_is_ended_before_anything_else(device: Renewing) -> None:
    before = device.certificate
    device.program.run_cut(SAVE, "after", 3, "renew")
    with daemon(device) as running:
        running.wait_for("renewed")
        running.stop()
    device.assert_renewed(before)


def test_an_order_with_a_wrong_address_is_mended_by_the_next(device: Renewing) -> None:
    before = device.certificate
    device.push(order(device, "certs-9", server="https://127.0.0.1:1"))
    with daemon(device) as running:
        assert "no-connection" in running.wait_for("renewal-failed")
        device.push(order(device, "certs-10"))
        assert running.wait_for("renewed").startswith("certs-10")
        running.stop()
    device.assert_renewed(before)


def test_an_order_that_cannot_be_read_keeps_no_renewal_from_its_end(device: Renewing) -> None:
    before = device.certificate
    device.program.run_cut(SAVE, "after", 3, "renew")
    (device.place / "secrets").mkdir(exist_ok=True)
    (device.place / "secrets" / "fio-rotate-certs").write_text("ESTSERVER=\n")
    with daemon(device) as running:
        running.wait_for("renewed")
        running.stop()
    assert device.certificate != before
