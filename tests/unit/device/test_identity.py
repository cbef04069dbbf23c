"""An identity with another key and certificate, in places of the same kind."""

from pathlib import Path

import pytest

from ownroot.client.credentials import FileCredentials, TokenCredentials
from ownroot.device.identity import DeviceIdentity, IdentityPlaces
from ownroot.errors import InvalidInputError

FILES = FileCredentials(certificate=Path("/var/sota/client.pem"), key=Path("/var/sota/pkey.pem"))
TOKEN = TokenCredentials(module=Path("/lib/hsm.so"), token="aktualizr", pin="1", key_id=b"\1", certificate_id=b"\3")


def device(credentials: FileCredentials | TokenCredentials) -> DeviceIdentity:
    return DeviceIdentity("https://gw:8443", Path("/var/sota/root.crt"), credentials, tags=None)


@pytest.mark.parametrize("credentials", [FILES, TOKEN])
def test_a_device_is_at_its_own_places(credentials: FileCredentials | TokenCredentials) -> None:
    assert device(credentials).at(device(credentials).places) == device(credentials)


def test_other_places_of_the_same_kind_are_taken() -> None:
    there = device(TOKEN).at(IdentityPlaces("pkcs11", "07", "09"))
    assert there.places == IdentityPlaces("pkcs11", "07", "09")


@pytest.mark.parametrize(("credentials", "other"), [(FILES, TOKEN), (TOKEN, FILES)])
def test_places_of_another_kind_are_refused(
    credentials: FileCredentials | TokenCredentials, other: FileCredentials | TokenCredentials
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        device(credentials).at(device(other).places)
    assert refused.value.code == "device-settings"
