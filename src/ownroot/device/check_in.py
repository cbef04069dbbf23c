"""A device's visit to its gateway: proving who it is, saying what it runs, hearing what the gateway knows of it.

Source: gateway.md §4.1 (check-in headers), §6.1 (GET /device).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ownroot.client.credentials import TokenCredentials
from ownroot.client.gateway import GatewayClient
from ownroot.device.identity import DeviceIdentity, certificate_in, opened
from ownroot.errors import KeyStoreError, RefusedError
from ownroot.wire.documents import read_object


def open_gateway(identity: DeviceIdentity, *, server: str | None = None) -> GatewayClient:
    """Make the mutual TLS client of this device; the caller closes it.

    Args:
        server: base URL of another server under the same root; None: the gateway.

    Raises:
        KeyStoreError: `device-key-missing`, `device-certificate`, or why the token that holds both cannot serve.
        OwnrootError: as `GatewayClient`.
    """
    if isinstance(identity.credentials, TokenCredentials):
        _require_usable(identity.credentials)
    return GatewayClient(server or identity.server, identity.root_file, identity.credentials)


def _require_usable(credentials: TokenCredentials) -> None:
    """Find out why a token does not serve, in our own words and with one try of the PIN, before curl tries."""
    with opened(credentials) as token:
        if token.find_key(credentials.key_id) is None:
            raise KeyStoreError(
                "device-key-missing",
                f"The token {credentials.token!r} has no key under the id {credentials.key_id.hex()}, which sota.toml "
                "names. Is it the token of this device? If its key is lost, register it again.",
            )
        certificate_in(token, credentials.certificate_id)


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
