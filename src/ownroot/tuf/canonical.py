"""JSON as it is signed, and the subset of it on which every reader agrees (protocol: tuf.md §2.3).

The programs that read these documents write strings outside printable ASCII, fractions and some signs in three
different ways. A document with one of them can be signed by its owner and refused by every device for ever, so nothing
outside the subset is made, taken in or published.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from ownroot.errors import InvalidInputError

Json: TypeAlias = dict[str, Any] | list[Any] | str | int | bool | None

_MAX_DEPTH: Final = 32
_MAX_INTEGER: Final = 2**53 - 1  # beyond it, readers that use doubles disagree
_PLAIN: Final = re.compile(r"[ -%'-;=?-~]*\Z")
_ESCAPED_IN_CUSTOM: Final = frozenset("&<>")


def encode(value: Json) -> bytes:
    """Return the canonical form: UTF-8, no white space, members sorted by code point, integers in decimal."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def decode(data: bytes | str, *, max_octets: int) -> Json:
    """Read a document; members that are given twice and numbers that are no integers are refused.

    Args:
        data: UTF-8 without a byte order mark, or text.
    Raises:
        InvalidInputError: `json-too-long`, `json-malformed`.
    """
    octets = len(data) if isinstance(data, bytes) else len(data.encode("utf-8", "surrogatepass"))
    if octets > max_octets:
        raise InvalidInputError("json-too-long", f"The document has {octets} bytes; {max_octets} are allowed.")
    try:
        # Given bytes, `json` would guess UTF-16 and UTF-32, which no other reader does.
        text = data.decode() if isinstance(data, bytes) else data
        value: Json = json.loads(
            text, object_pairs_hook=_object, parse_float=_no_number, parse_constant=_no_number, parse_int=_integer
        )
        if "\\u" in text or not text.isascii():
            encode(value)  # half a surrogate pair has no UTF-8 form, so nobody could sign or check it
    except (ValueError, RecursionError) as exc:
        raise InvalidInputError("json-malformed", f"The document is not JSON as it is signed: {_reason(exc)}.") from exc
    return value


def find_unsafe(value: Json) -> str | None:
    """Return where and why a value leaves the common subset; None if every reader signs and checks the same bytes.

    Newlines are part of the subset in PEM text of public keys alone.
    """
    # Nearly every document has nothing to find, and the way to a fault is only needed once there is one.
    return None if _is_plain(value, 0) else next(_unsafe(value, "", 0), None)


def is_printable(text: str) -> bool:
    """Is every character printable ASCII?"""
    return text.isascii() and text.isprintable()


def _is_plain(value: Json, depth: int) -> bool:
    """Is it certain at a glance that nothing is unsafe? Newlines, `&`, `<` and `>` depend on where they are."""
    if depth > _MAX_DEPTH or isinstance(value, float):
        return False
    if isinstance(value, str):
        return _PLAIN.match(value) is not None
    if isinstance(value, dict):
        return all(_PLAIN.match(name) and _is_plain(member, depth + 1) for name, member in value.items())
    if isinstance(value, list):
        return all(_is_plain(item, depth + 1) for item in value)
    return value is None or abs(value) <= _MAX_INTEGER


def _unsafe(value: Json, path: str, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        yield f"{path} is nested deeper than {_MAX_DEPTH} levels"
    elif isinstance(value, dict):
        for name, member in value.items():
            if not is_printable(name):
                yield f"a name in {path or 'the document'} has characters outside printable ASCII"
            yield from _unsafe(member, f"{path}.{name}" if path else name, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unsafe(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, str):
        yield from _unsafe_text(value, path)
    elif isinstance(value, float) or (isinstance(value, int) and abs(value) > _MAX_INTEGER):
        yield f"{path} is not an integer that every reader can hold"


def _unsafe_text(text: str, path: str) -> Iterator[str]:
    is_pem = path.endswith(".keyval.public")
    if not is_printable(text.replace("\n", "") if is_pem else text):
        yield f"{path} has characters outside printable ASCII"
    if ".custom." in path and not _ESCAPED_IN_CUSTOM.isdisjoint(text):
        yield f"{path} has one of & < >, which not every reader writes alike inside `custom`"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is given twice")
    return found


def _integer(text: str) -> int:
    if len(text) > len(str(-_MAX_INTEGER)) or abs(int(text)) > _MAX_INTEGER:
        raise ValueError("a number is too large")
    return int(text)


def _no_number(_text: str) -> float:
    raise ValueError("a number is not an integer")


def _reason(exc: Exception) -> str:
    if isinstance(exc, RecursionError):
        return "it is nested too deeply"
    return str(exc) if type(exc) is ValueError else "it is malformed"
