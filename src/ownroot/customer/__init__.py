"""For an owner's own API: from a device's certificate to a verified identity that is still welcome.

    pin = FeedPin(root=parse_certificate(text), factory="acme", gateway_name="gw.example.com")
    with StatusFollower(Api(access), pin) as follower:
        application = AsgiDevices(application, DeviceGate(follower), front=Front.at("127.0.0.1"))

The rules are those of the gateway (`trust`), the news comes from the backend's signed status feed. See
docs/customer-api.md.
"""

from ownroot.customer.asgi import AsgiDevices
from ownroot.customer.feed import FeedPin
from ownroot.customer.follower import StatusFollower
from ownroot.customer.gate import DeviceGate, DeviceIdentity, DeviceStanding
from ownroot.customer.peer import Front
from ownroot.customer.wsgi import WsgiDevices

__all__ = [
    "AsgiDevices",
    "DeviceGate",
    "DeviceIdentity",
    "DeviceStanding",
    "FeedPin",
    "Front",
    "StatusFollower",
    "WsgiDevices",
]
