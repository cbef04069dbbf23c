"""Which devices fetched their configuration: remembered at once, stored in batches.

What is lost in a crash is at most the last second of marks; a device whose mark is lost is answered in full once more.
"""

from collections import OrderedDict

from ownroot.gateway.backlog import Backlog
from ownroot.services.ports import Database
from ownroot.services.read_gateway_trust import DeviceKey
from ownroot.services.record_check_ins import record_config_fetches
from ownroot.services.records import ConfigFetch, Device

_REMEMBERED = 65_536


class ConfigFetchRecorder(Backlog[DeviceKey, ConfigFetch]):
    """Collects the fetches of this process and writes them once a second."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "config_fetches", record_config_fetches)
        self._served: OrderedDict[DeviceKey, bytes] = OrderedDict()  # devices served since their key was promoted

    def note(self, fetch: ConfigFetch) -> None:
        """Remember an answer with the whole configuration."""
        key = (fetch.factory_id, fetch.uuid)
        self._served[key] = fetch.spki_sha256
        self._served.move_to_end(key)
        if len(self._served) > _REMEMBERED:
            self._served.popitem(last=False)
        self.put(key, fetch)

    def is_to_fetch_anew(self, device: Device) -> bool:
        """Must this device be answered in full whatever it says of its copy?"""
        if not device.fetch_config_anew:
            return False
        return self._served.get((device.factory_id, device.uuid)) != device.spki_sha256
