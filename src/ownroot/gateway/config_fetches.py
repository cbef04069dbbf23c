"""Which devices fetched their configuration: remembered at once, stored in batches.

What is lost in a crash is at most the last second of marks; a device whose mark is lost is answered in full once more.
"""

import asyncio
from collections import OrderedDict

import structlog

from ownroot.errors import OwnrootError, UnavailableError
from ownroot.services.ports import Database
from ownroot.services.read_gateway_trust import DeviceKey
from ownroot.services.record_check_ins import record_config_fetches
from ownroot.services.records import ConfigFetch, Device

_log = structlog.get_logger(__name__)
_MAX_PENDING = 50_000
_REMEMBERED = 65_536


class ConfigFetchRecorder:
    """Collects the fetches of this process and writes them once a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[DeviceKey, ConfigFetch] = {}
        self._served: OrderedDict[DeviceKey, bytes] = OrderedDict()  # devices served since their key was promoted

    def note(self, fetch: ConfigFetch) -> None:
        """Remember an answer with the whole configuration."""
        key = (fetch.factory_id, fetch.uuid)
        self._served[key] = fetch.spki_sha256
        self._served.move_to_end(key)
        if len(self._served) > _REMEMBERED:
            self._served.popitem(last=False)
        if len(self._pending) < _MAX_PENDING or key in self._pending:
            self._pending[key] = fetch

    def is_to_fetch_anew(self, device: Device) -> bool:
        """Must this device be answered in full whatever it says of its copy?"""
        if not device.fetch_config_anew:
            return False
        return self._served.get((device.factory_id, device.uuid)) != device.spki_sha256

    async def run(self) -> None:
        """Write once a second until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            await self.flush()

    async def flush(self) -> None:
        """Write what is pending. While the store is unavailable it stays pending."""
        batch, self._pending = self._pending, {}
        if not batch:
            return
        fetches = tuple(batch.values())
        try:
            await asyncio.wrap_future(self._database.write(record_config_fetches(fetches)))
        except UnavailableError as error:
            self._pending = batch | self._pending
            _log.warning(
                "fetched configurations could not be stored, they are kept", fetches=len(batch), code=error.code
            )
        except OwnrootError as error:
            _log.error("fetched configurations could not be stored, they are lost", fetches=len(batch), exc_info=error)
