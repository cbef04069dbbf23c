"""Whatever is refused of a change to a factory's PKI is in the audit log before anyone hears of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ownroot.audit.events import EventKind
from ownroot.errors import InvalidInputError
from ownroot.services.change_pki import change_pki
from ownroot.services.read_upload import UploadText
from ownroot.services.request_csrs import CsrOrder, request_csrs
from ownroot.services.steps import run_blocking
from tests.support.registering import NOW, RegistrationWorld, registration_world

GARBAGE = "-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as opened:
        yield opened


def refusals(world: RegistrationWorld) -> list[tuple[str, dict[str, str]]]:
    """Codes and details of what the log says was refused."""
    return [(event.subject, dict(event.details)) for event in world.events(EventKind.PKI_CHANGE_REFUSED)]


def test_upload_that_cannot_be_read_is_refused_on_record(world: RegistrationWorld) -> None:
    with pytest.raises(InvalidInputError) as caught:
        run_blocking(change_pki(UploadText(device_cas=GARBAGE), world.owner, now=NOW), world.database)
    assert refusals(world) == [(caught.value.code, {"field": "ca-crt", "request": "upload"})]


def test_upload_that_a_rule_refuses_is_on_record_once(world: RegistrationWorld) -> None:
    with pytest.raises(InvalidInputError) as caught:
        run_blocking(change_pki(UploadText(), world.owner, now=NOW), world.database)
    assert [code for code, _ in refusals(world)] == [caught.value.code]


def test_request_for_no_csr_at_all_is_refused_on_record(world: RegistrationWorld) -> None:
    with pytest.raises(InvalidInputError) as caught:
        run_blocking(request_csrs(CsrOrder(), world.owner, world.keyring, now=NOW), world.database)
    assert caught.value.code == "csr-none-asked"
    assert refusals(world) == [("csr-none-asked", {"request": "csrs"})]
    assert world.events(EventKind.PKI_KEYS_REQUESTED) == []


def test_request_for_a_csr_leaves_no_refusal(world: RegistrationWorld) -> None:
    csrs = run_blocking(request_csrs(CsrOrder(tls=True), world.owner, world.keyring, now=NOW), world.database)
    assert csrs.tls is not None
    assert refusals(world) == []
