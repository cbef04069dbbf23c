"""A customer's own API: devices of one factory say hello, everybody else is refused.

    python app.py --root root.crt --gateway-name gw.example.com --cert api.pem --key api.key     on its own
    python app.py --root root.crt --gateway-name gw.example.com --front 127.0.0.1                behind nginx

OWNROOT_URL, OWNROOT_FACTORY and OWNROOT_TOKEN (scope devices:read) say where the status of devices comes from. Devices
on other machines need --host 0.0.0.0.
"""

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.simple_server import make_server

from ownroot.client.access import ApiAccess
from ownroot.client.api import Api
from ownroot.customer import DeviceGate, FeedPin, Front, StatusFollower, WsgiDevices
from ownroot.customer.serving import DeviceServer
from ownroot.pki.encoding import parse_certificate

SETTINGS = ("OWNROOT_URL", "OWNROOT_FACTORY", "OWNROOT_TOKEN")


def hello(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer a device that was let in; this is where your own code begins."""
    device = environ["ownroot.device"]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"hello": device.uuid, "standing": device.standing}).encode()]


def main() -> None:
    """Serve until interrupted."""
    options = _options()
    url, factory, token = (os.environ[name] for name in SETTINGS)
    access = ApiAccess(url=url, factory=factory, token=token, cacert=options.cacert)
    pin = FeedPin(parse_certificate(options.root.read_text()), factory, options.gateway_name)
    with Api(access) as api, StatusFollower(api, pin, interval_seconds=options.interval) as follower:
        gate = DeviceGate(follower, admit_new=options.admit_new)
        address = (options.host, options.port)
        if options.front:
            server = make_server(*address, WsgiDevices(hello, gate, front=Front.at(*options.front)))
        else:
            server = DeviceServer(address, WsgiDevices(hello, gate), follower, (options.cert, options.key))
        print(f"serving on port {server.server_port}", flush=True)
        server.serve_forever()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A customer's own API.")
    parser.add_argument("--root", type=Path, required=True, help="the factory root, from its owner")
    parser.add_argument("--gateway-name", required=True, help="the name at which devices find their gateway")
    parser.add_argument("--cert", type=Path, help="this server's certificate (ownroot keys ca sign)")
    parser.add_argument("--key", type=Path, help="its key")
    parser.add_argument("--cacert", type=Path, help="roots to believe at OWNROOT_URL besides the system's, PEM")
    parser.add_argument("--front", action="append", help="address of a front that passes certificates on")
    parser.add_argument("--admit-new", action="store_true", help="let devices in that the factory has not seen yet")
    parser.add_argument("--interval", type=float, default=15.0, help="seconds between two looks at the status feed")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; 0.0.0.0: for other machines too")
    parser.add_argument("--port", type=int, default=9443)
    options = parser.parse_args()
    if not options.front and not (options.cert and options.key):
        parser.error("without --front it needs --cert and --key")
    if missing := [name for name in SETTINGS if not os.environ.get(name)]:
        parser.error(f"set {', '.join(missing)} in the environment")
    return options


if __name__ == "__main__":
    main()
