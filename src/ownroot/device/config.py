"""A device's configuration: fetched, decrypted, carried out, and only then believed to be there (gateway.md §6.3).

In this order, so that a run may be killed anywhere: everything is decrypted before anything is written; files are made
and taken away, each whole or not at all; handlers run; the copy is replaced. Whatever is repeated is harmless.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ownroot.client.gateway import GatewayClient
from ownroot.client.refusals import error_of
from ownroot.clock import utc_now
from ownroot.device.config_copy import ConfigCopy, StoredCopy
from ownroot.device.config_files import SecretsDirectory
from ownroot.device.config_handlers import Handlers
from ownroot.device.renewal_config import open_value
from ownroot.device.renewal_order import ORDER_FILE
from ownroot.fleet.config_files import ConfigFile, parse_file_name
from ownroot.fleet.config_times import parse_http_date
from ownroot.pki.signer import PrivateKey
from ownroot.wire.config import ConfigFileForm, DevicePatchForm, parse_delivery
from ownroot.wire.documents import write_document

ACTIONS_FILE = "fio-remote-actions"


@dataclass(frozen=True, slots=True)
class ConfigPlaces:
    """Directories of this device.

    Attributes:
        storage: of its identity; the copy of its configuration lies there.
        secrets: where the files go.
        actions: programs that the owner may have run here.
    """

    storage: Path
    secrets: Path
    actions: Path


@dataclass(slots=True)
class Applied:
    """What a check-in did to the device's configuration. `is_new`: the gateway had another one than we."""

    is_new: bool = False
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


class DeviceConfig:
    """Keeps the device's configuration what its owner wants it to be.

    Args:
        keys: those that may read an encrypted value, asked for when there is one; several during a renewal.
    """

    def __init__(self, places: ConfigPlaces, keys: Callable[[], Sequence[PrivateKey]], handlers: Handlers) -> None:
        self._places = places
        self._keys = keys
        self._copy = ConfigCopy(places.storage)
        self._secrets = SecretsDirectory(places.secrets)
        self._handlers = handlers

    def tell_actions(self, gateway: GatewayClient) -> None:
        """Tell the owner which actions this device offers, if that is not what its configuration says.

        Raises:
            OwnrootError: the gateway did not take it.
        """
        offered = ",".join(_programs_in(self._places.actions))
        if offered.encode() == (self._secrets.read(ACTIONS_FILE) or b""):
            return
        file = ConfigFileForm(name=ACTIONS_FILE, value=offered, unencrypted=True)
        body = write_document(DevicePatchForm(files=(file,), reason="Set list of available remote actions"))
        answer = gateway.request("PATCH", "/config", body=body, headers={"Content-Type": "application/json"})
        if answer.status != 201:
            raise error_of(answer)

    def sync(self, gateway: GatewayClient) -> Applied:
        """Fetch what is new and carry it out; put back what is missing of what is known.

        Raises:
            UnavailableError: `config-aborted`: a handler said so.
            InvalidInputError: `config-file-name`, `ciphertext-malformed`, `ciphertext-foreign`: nothing was changed;
                `config-directory`, `device-directory`: the next check-in goes on.
            OwnrootError: as `GatewayClient.request` and `error_of`.
        """
        known = self._copy.load()
        since = known.if_modified_since
        answer = gateway.request("GET", "/config", headers={} if since is None else {"If-Modified-Since": since})
        match answer.status:
            case 200:
                stamp = parse_http_date(answer.headers.get("date", "")) or utc_now()
                done = self._carry_out(known, parse_delivery(answer.body))
                self._copy.finish(answer.body, int(stamp.timestamp()))
                done.is_new = True
                return done
            case 204 | 304:
                done = self._carry_out(known, known.files)
                self._copy.forget_begun()
                return done
            case _:
                raise error_of(answer)

    def _carry_out(self, known: StoredCopy, files: tuple[ConfigFile, ...]) -> Applied:
        wanted = {file.name: (file, content) for file, content in self._open(files)}
        before = {file.name: file for file in known.files}
        begun = self._copy.names_begun()
        self._secrets.sweep({*wanted, *begun, *before})
        # What a killed run had begun counts as changed: its handler may not have run.
        changed = [name for name, (_, new) in wanted.items() if name in begun or self._secrets.read(name) != new]
        gone = sorted({*before, *begun} - set(wanted))
        if not begun.issuperset(changed):
            self._copy.begin(changed)
        for name in gone:
            self._secrets.remove(name)
        for name in changed:
            self._secrets.write(name, wanted[name][1])
        for name in gone:
            self._handle(before.get(name))
        for name in changed:
            self._handle(wanted[name][0])
        return Applied(changed=changed, removed=gone)

    def _open(self, files: Iterable[ConfigFile]) -> list[tuple[ConfigFile, bytes]]:
        keys: Sequence[PrivateKey] = ()
        opened = []
        for file in files:
            parse_file_name(file.name)
            if file.unencrypted:
                opened.append((file, file.value.encode("utf-8")))
                continue
            keys = keys or self._keys()
            opened.append((file, open_value(file, keys)[0]))
        return opened

    def _handle(self, file: ConfigFile | None) -> None:
        # An order to renew is ours to carry out, once everything else of the delivery is done.
        if file is not None and file.name != ORDER_FILE:
            self._handlers.run(file.on_changed, self._secrets.path_of(file.name))


def _programs_in(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in directory.iterdir() if entry.is_file())
    except OSError:
        return []
