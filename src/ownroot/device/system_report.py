"""What a device tells its gateway about itself: hardware, network, settings; sent when it has changed.

A file beside the identity remembers what the gateway has taken, so a device that has nothing new sends nothing. A
report that fails never fails a check-in: it is tried again at the next one.

Source: gateway.md §6.7.
"""

import json
import os
import platform
import re
import socket
import tomllib
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ownroot.client.gateway import GatewayClient
from ownroot.device.files import SETTINGS_FILE, write_private
from ownroot.device.identity import DeviceIdentity, read_certificate
from ownroot.errors import OwnrootError
from ownroot.pki.encoding import certificate_der

REPORTED_FILE: Final = "reported.json"
_ROUTES: Final = Path("/proc/net/route")
_INTERFACES: Final = Path("/sys/class/net")
_find_pin = re.compile(r"^([ \t]*(?:p11\.)?pass[ \t]*=).*$", re.MULTILINE).sub


def send_reports(directory: Path, identity: DeviceIdentity, gateway: GatewayClient) -> tuple[str, ...]:
    """Send what has changed since the gateway last took it; returns what went wrong, a sentence each.

    Raises:
        InvalidInputError: `device-directory`, what was sent cannot be remembered.
    """
    file = directory / REPORTED_FILE
    before = _remembered(file)
    taken, faults = dict(before), []
    for path, body in _reports(directory, identity):
        if body is None:
            faults.append(f"{path}: the PIN of the token cannot be taken out of {SETTINGS_FILE}.")
            continue
        digest = _digest(identity, body)
        if taken.get(path) == digest:
            continue
        fault = _put(gateway, path, body)
        if fault is None:
            taken[path] = digest
        else:
            faults.append(fault)
    if taken != before:
        write_private(file, json.dumps(taken))
    return tuple(faults)


def without_pin(settings: str) -> str | None:
    """Return `sota.toml` without the PIN of a token: whoever reads reports must not be able to use the key.

    Returns: None if it is written in a way that we cannot take it out of.
    """
    text = _find_pin(r'\1 ""', settings)
    try:
        token = tomllib.loads(text).get("p11", {})
    except tomllib.TOMLDecodeError:
        return None
    return None if not isinstance(token, dict) or token.get("pass") else text


def _reports(directory: Path, identity: DeviceIdentity) -> Iterator[tuple[str, bytes | None]]:
    yield "/system_info", json.dumps(_hardware()).encode()
    yield "/system_info/network", json.dumps(_network(identity)).encode()
    settings = without_pin((directory / SETTINGS_FILE).read_text(encoding="utf-8"))
    yield "/system_info/config", None if settings is None else settings.encode()


def _put(gateway: GatewayClient, path: str, body: bytes) -> str | None:
    try:
        answer = gateway.request("PUT", path, body=body, headers={"Content-Type": _content_type(path)})
    except OwnrootError as error:
        return f"{path}: {error.detail}"
    return None if answer.status == 200 else f"{path}: the gateway answers {answer.status}, {answer.text.strip()!r}."


def _content_type(path: str) -> str:
    return "application/toml" if path.endswith("/config") else "application/json"


def _digest(identity: DeviceIdentity, body: bytes) -> str:
    """Name a report and whom it was sent to as whom: another gateway or certificate has not seen it."""
    sender = sha256(identity.server.encode() + b"\0" + certificate_der(read_certificate(identity))).digest()
    return sha256(sender + body).hexdigest()


def _remembered(file: Path) -> Mapping[str, str]:
    """What is unreadable is forgotten, so everything is sent once more."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _hardware() -> dict[str, object]:
    """Only what stays the same while the machine does, in members that `lshw -json` has too."""
    machine = platform.uname()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "id": machine.node,
        "class": "system",
        "description": f"{machine.system} {machine.release}",
        "children": [
            {"id": "cpu", "class": "processor", "product": machine.machine, "units": os.cpu_count()},
            {"id": "memory", "class": "memory", "units": "bytes", "size": memory},
        ],
    }


def _network(identity: DeviceIdentity) -> dict[str, str]:
    return {"hostname": socket.gethostname(), "local_ipv4": _local_address(identity.server), "mac": _mac()}


def _local_address(server: str) -> str:
    """The address we have towards the gateway; empty if it is not reached by IPv4. Nothing is sent to find out."""
    parts = urlsplit(server)
    host = "127.0.0.1" if (parts.hostname or "").endswith("localhost") else parts.hostname
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, parts.port or 443))
        except OSError:
            return ""
        address: str = probe.getsockname()[0]
        return address


def _mac() -> str:
    """The hardware address of the interface with the default route; empty where there is none."""
    try:
        for line in _ROUTES.read_text(encoding="ascii").splitlines()[1:]:
            interface, destination = line.split()[:2]
            if destination == "00000000":
                return (_INTERFACES / interface / "address").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        pass
    return ""
