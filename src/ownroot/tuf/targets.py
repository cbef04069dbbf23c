"""A target: what a device may install, as its entry in a targets document says it (protocol: tuf.md §2.5)."""

import re
from typing import Final

from ownroot.errors import InvalidInputError
from ownroot.tuf.canonical import Json, find_unsafe

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,254}\Z", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")
_MEMBERS: Final = frozenset(("length", "hashes", "custom"))


def check_target(name: str, entry: Json) -> None:
    """Refuse an entry that some device could not read.

    Raises:
        InvalidInputError: `tuf-target-invalid`.
    """
    if _NAME.match(name) is None:
        raise _invalid("its name has 1 to 255 letters, digits and . _ + ~ -, and begins with a letter or digit")
    if not isinstance(entry, dict) or not set(entry) <= _MEMBERS or not isinstance(entry.get("custom", {}), dict):
        raise _invalid("it is an object of `length`, `hashes` and `custom`")
    length, hashes = entry.get("length"), entry.get("hashes")
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        raise _invalid("`length` is an integer from 0 on")
    digest = hashes.get("sha256") if isinstance(hashes, dict) else None
    if not isinstance(digest, str) or _SHA256.match(digest) is None:
        raise _invalid("`hashes` holds `sha256` in 64 lower-case hex digits")
    where = find_unsafe({"targets": {name: entry}})
    if where is not None:
        raise _invalid(f"devices would not agree on its bytes: {where}")


def _invalid(reason: str) -> InvalidInputError:
    return InvalidInputError("tuf-target-invalid", f"Not a target that every device can read: {reason}.")
