"""Where a configuration is found on the API (protocol: api.md §6)."""

from dataclasses import dataclass
from urllib.parse import urlencode

from ownroot.client.addresses import path_segment, path_segments


@dataclass(frozen=True, slots=True)
class ConfigPlace:
    """Whose configuration: a device's, a group's, or with neither the whole factory's.

    Attributes:
        by_uuid: `device` is a uuid, not a name.
    """

    device: str | None = None
    group: str | None = None
    by_uuid: bool = False

    def path(self, factory: str, rest: str = "", *, force: bool = False) -> str:
        """Return path and query; `rest` is appended to the path as it is."""
        query: list[tuple[str, str]] = []
        if self.device is not None:
            base = f"/ota/devices/{path_segment(self.device)}/config/"
            query = [("factory", factory), *([("by-uuid", "1")] if self.by_uuid else [])]
        elif self.group is not None:
            base = f"/ota/factories/{path_segment(factory)}/device-groups/{path_segment(self.group)}/config/"
        else:
            base = f"/ota/factories/{path_segment(factory)}/config/"
        query += [("force", "1")] if force else []
        return base + rest + (f"?{urlencode(query)}" if query else "")

    def file_path(self, factory: str, name: str) -> str:
        """Return the path of one file; its name may hold slashes. Raises InvalidInputError `bad-name`."""
        return self.path(factory, f"{path_segments(name)}/")

    def __str__(self) -> str:
        if self.device is not None:
            return f"device {self.device}"
        return "the factory" if self.group is None else f"device group {self.group}"
