"""What listings have in common: their pages, and the device CA they may be narrowed to."""

from typing import Annotated
from urllib.parse import urlencode

import msgspec

from ownroot.errors import InvalidInputError
from ownroot.pki.serials import parse_serial
from ownroot.services.authority import Principal
from ownroot.services.manage_devices import Paging
from ownroot.web.endpoint import Call

Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Page = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


def next_page(call: Call[Principal], path: str, paging: Paging, total: int) -> str | None:
    """Return the absolute address of the following page: clients request it verbatim (api.md §6)."""
    if paging.page * paging.limit >= total:
        return None
    query = {**call.arrival.query, "page": str(paging.page + 1)}
    return f"{call.arrival.base_url}{path}?{urlencode(sorted(query.items()))}"


def next_after(last: str, call: Call[Principal], path: str, paging: Paging, total: int) -> str | None:
    """Return the absolute address of what comes after the last name of a page, of which `total` are left with it."""
    if paging.limit >= total:
        return None
    return f"{call.arrival.base_url}{path}?{urlencode(sorted({**call.arrival.query, 'after': last}.items()))}"


def ca_serial(text: str | None) -> int | None:
    """Read the query parameter of this name.

    Raises:
        InvalidInputError: `bad-query`.
    """
    try:
        return None if text is None else parse_serial(text)
    except InvalidInputError as exc:
        detail = f"Query parameter ca_serial: {exc.detail}"
        raise InvalidInputError("bad-query", detail, fields={"ca_serial": exc.detail}) from exc
