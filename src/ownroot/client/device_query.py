"""What a listing of devices may be narrowed to (protocol: api.md §5)."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceQuery:
    """How to narrow a listing; a member left out does not narrow. Names are those of the wire."""

    name: str | None = None
    group: str | None = None
    match_tag: str | None = None
    mine: bool = False
    prod: bool | None = None
    sortby: str | None = None
    target_name: str | None = None
    uuid: str | None = None
    ca_serial: str | None = None
    rotating: bool = False
    suspected: bool = False
    limit: int = 500
    page: int = 1
    after: str | None = None

    def parameters(self, factory: str) -> Iterator[tuple[str, str]]:
        """Yield the query parameters that are set, sorted by name; an empty factory means all that the token is for."""
        given: dict[str, str | None] = {
            "after": self.after,
            "ca_serial": self.ca_serial,
            "factory": factory or None,
            "group": self.group,
            "limit": str(self.limit),
            "match_tag": self.match_tag,
            "mine": "1" if self.mine else None,
            "name": self.name,
            "page": str(self.page) if self.page > 1 else None,
            "prod": None if self.prod is None else str(int(self.prod)),
            "rotating": "1" if self.rotating else None,
            "sortby": self.sortby,
            "suspected": "1" if self.suspected else None,
            "target_name": self.target_name,
            "uuid": self.uuid,
        }
        yield from ((name, value) for name, value in given.items() if value is not None)
