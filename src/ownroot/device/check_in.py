"""A device's visit to its gateway: proving who it is, saying what it runs, hearing what the gateway knows of it.

Source: gateway.md §4.1 (check-in headers), §6.1 (GET /device).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ownroot.client.gateway import GatewayClient
from ownroot.device.identity import DeviceIdentity
from ownroot.errors import RefusedError
from ownroot.wire.documents import read_object


def open_gateway(identity: DeviceIdentity, *, server: str | None = None) -> GatewayClient:
    """Make the mutual TLS client of this device; the caller closes it.

    Args:
        server: base URL of another server under the same root; None: the gateway.

    Raises:
        OwnrootError: as `GatewayClient`.
    """
    return GatewayClient(server or identity.server, identity.root_file, identity.certificate_file, identity.key_file)


def check_in(identity: DeviceIdentity, gateway: GatewayClient) -> dict[str, object]:
    """Visit the gateway once and return what it knows of this device.

    Raises:
        RefusedError: the gateway does not let this device in, the detail is its reason; or `gateway-not-trusted`, it is
            we who do not believe the gateway.
        InvalidInputError: the answer is no JSON object.
        OwnrootError: as `GatewayClient.get`.
    """
    headers = {"x-ats-tags": identity.tags} if identity.tags is not None else {}
    with explaining_distrust(identity):
        answer = gateway.get("/device", headers=headers)
    return read_object(answer.body)


@contextmanager
def explaining_distrust(identity: DeviceIdentity) -> Iterator[None]:
    """Say what may have happened when this device does not believe its gateway.

    Raises:
        RefusedError: `gateway-not-trusted` in place of `server-not-trusted`.
    """
    try:
        yield
    except RefusedError as error:
        if error.code != "server-not-trusted":
            raise
        # The gateway cannot tell us: we leave before it can speak.
        raise RefusedError(
            "gateway-not-trusted",
            f"{error.detail} This device trusts only the root in {identity.root_file}. If the factory was taken over "
            "by its owner since this device was registered, register it again: `ownroot-device register --force`.",
        ) from error
