"""A device's visit to its gateway: proving who it is, saying what it runs, hearing what the gateway knows of it.

Source: gateway.md §4.1 (check-in headers), §6.1 (GET /device).
"""

from ownroot.client.gateway import GatewayClient
from ownroot.device.identity import DeviceIdentity
from ownroot.wire.documents import read_object


def open_gateway(identity: DeviceIdentity) -> GatewayClient:
    """Make the mutual TLS client of this device; the caller closes it.

    Raises:
        OwnrootError: as `GatewayClient`.
    """
    return GatewayClient(identity.server, identity.root_file, identity.certificate_file, identity.key_file)


def check_in(identity: DeviceIdentity, gateway: GatewayClient) -> dict[str, object]:
    """Visit the gateway once and return what it knows of this device.

    Raises:
        RefusedError: the gateway does not let this device in; the detail is its reason.
        InvalidInputError: the answer is no JSON object.
        OwnrootError: as `GatewayClient.get`.
    """
    headers = {"x-ats-tags": identity.tags} if identity.tags is not None else {}
    return read_object(gateway.get("/device", headers=headers).body)
