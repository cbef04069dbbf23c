"""The slots that a device has, which follow from where its identity is at present."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ownroot.client.credentials import FileCredentials
from ownroot.device.identity import DeviceIdentity, opened
from ownroot.device.identity_slots import FileSlots, IdentitySlots
from ownroot.device.token_slots import TokenSlots


@contextmanager
def opened_slots(directory: Path, present: DeviceIdentity) -> Iterator[IdentitySlots]:
    """Give the slots of a device that has this identity at present; their keys are good until the end of the block.

    Raises:
        KeyStoreError: as `DeviceSlots`. Nothing is asked of a token before the slots are used.
    """
    credentials = present.credentials
    if isinstance(credentials, FileCredentials):
        yield FileSlots(directory, credentials.key, credentials.certificate)
        return
    with opened(credentials) as token:
        yield TokenSlots(directory, credentials, token)
