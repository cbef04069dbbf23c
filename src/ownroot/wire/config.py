"""Shapes of configuration: as owners send and read it (api.md §6), and as devices fetch it (gateway.md §6.3-6.5)."""

from collections.abc import Iterable

import msgspec

from ownroot.errors import InvalidInputError
from ownroot.fleet.config_files import ConfigFile
from ownroot.wire.documents import convert_object, read_document, read_object, write_document


class ConfigFileForm(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One file. `on_changed` is a handler with its arguments; clients of the field leave it out where there is none."""

    name: str
    value: str = ""
    unencrypted: bool | None = False
    on_changed: tuple[str, ...] | msgspec.UnsetType | None = msgspec.UNSET

    @property
    def handler(self) -> tuple[str, ...]:
        """The handler with its arguments, empty for none."""
        return self.on_changed if isinstance(self.on_changed, tuple) else ()


class ConfigForm(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Files to put into a configuration; clients send `null` for none."""

    files: tuple[ConfigFileForm, ...] = ()
    reason: str = ""


class DevicePatchForm(ConfigForm, frozen=True, kw_only=True, rename="kebab"):
    """What a device sends; `public_key` (PEM) says what its values are encrypted to."""

    public_key: str = ""


class ConfigObject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One entry of a history, and what a change answers. `applied_at`: when the device fetched it."""

    created_at: str = ""
    applied_at: str | None = None
    created_by: str = ""
    reason: str = ""
    files: tuple[ConfigFileForm, ...] = ()


class ConfigList(msgspec.Struct, frozen=True, kw_only=True):
    """A history, newest first. `next` is an absolute URL or null."""

    config: tuple[ConfigObject, ...]
    total: int
    next: str | None = None


class DeliveredFile(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One file as a device reads it; without `Unencrypted` the value is encrypted for its key."""

    value: str = ""
    unencrypted: bool | None = False
    on_changed: tuple[str, ...] | None = ()


def parse_config_form(body: bytes) -> ConfigForm:
    """Read what an owner sends. Raises InvalidInputError `bad-json`, `json-not-object`, `bad-field`."""
    return read_document(body, ConfigForm)


def parse_device_patch(body: bytes) -> DevicePatchForm:
    """Read what a device sends. Raises as `parse_config_form`."""
    return read_document(body, DevicePatchForm)


def config_files(forms: Iterable[ConfigFileForm]) -> tuple[ConfigFile, ...]:
    """Turn the files of the wire into values; nothing about them is checked."""
    return tuple(ConfigFile(form.name, form.value, bool(form.unencrypted), form.handler) for form in forms)


def file_forms(files: Iterable[ConfigFile]) -> tuple[ConfigFileForm, ...]:
    """Turn files into their form on the wire."""
    return tuple(
        ConfigFileForm(
            name=file.name,
            value=file.value,
            unencrypted=file.unencrypted,
            on_changed=file.on_changed or msgspec.UNSET,
        )
        for file in files
    )


def print_delivery(files: Iterable[ConfigFile]) -> bytes:
    """Return the answer to GET /config: one member per file; a JSON object even if there is none."""
    return write_document(
        {
            file.name: DeliveredFile(value=file.value, unencrypted=file.unencrypted, on_changed=file.on_changed)
            for file in files
        }
    )


def parse_delivery(body: bytes) -> tuple[ConfigFile, ...]:
    """Read what a gateway delivers.

    Raises:
        InvalidInputError: `bad-json`, `json-not-object`, `bad-field`. Names are as they came, unchecked.
    """
    files = []
    for name, member in read_object(body).items():
        if not isinstance(member, dict):
            raise InvalidInputError("bad-field", f"The file {name[:80]!r} must be an object.")
        shown = convert_object(member, DeliveredFile)
        files.append(ConfigFile(name, shown.value, bool(shown.unencrypted), tuple(shown.on_changed or ())))
    return tuple(files)
