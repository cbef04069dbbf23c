"""Reading and writing the JSON documents of the wire; every shape of this package goes through here.

Rules kept: a member that is `null` counts as absent, unknown members are ignored, and whatever is wrong with a
document comes out as `InvalidInputError` that names the member. No input makes these functions raise anything else.
"""

from typing import TypeVar

import msgspec

from ownroot.errors import InvalidInputError

Shape = TypeVar("Shape")

_AT = " - at `$."


def read_object(body: bytes, *, drop_empty: bool = False) -> dict[str, object]:
    """Parse a JSON object and drop the members that count as absent.

    Args:
        body: the whole document, UTF-8. Its size is the caller's to limit.
        drop_empty: the empty string counts as absent too (certificate uploads).
    Raises:
        InvalidInputError: `bad-json` (not JSON), `json-not-object` (JSON, but no object).
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise InvalidInputError("bad-json", f"The document is not valid JSON: {exc}.") from exc
    except RecursionError as exc:
        raise InvalidInputError("bad-json", "The JSON document is nested too deeply.") from exc
    if not isinstance(document, dict):
        raise InvalidInputError("json-not-object", "The JSON document must be an object.")
    return {name: value for name, value in document.items() if value is not None and not (drop_empty and value == "")}


def read_document(body: bytes, shape: type[Shape], *, drop_empty: bool = False) -> Shape:
    """Parse a JSON object into one of the shapes of this package.

    Raises:
        InvalidInputError: as `read_object`; `bad-field` (a member is missing or of the wrong type) with `fields`.
    """
    return convert_object(read_object(body, drop_empty=drop_empty), shape)


def read_list(body: bytes, shape: type[Shape]) -> tuple[Shape, ...]:
    """Parse a JSON array of objects of one shape.

    Raises:
        InvalidInputError: as `read_document`; `json-not-array`.
    """
    try:
        entries = msgspec.json.decode(body, type=list[msgspec.Raw])
    except msgspec.ValidationError as exc:
        raise InvalidInputError("json-not-array", "The JSON document must be an array.") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidInputError("bad-json", f"The document is not valid JSON: {exc}.") from exc
    return tuple(read_document(bytes(entry), shape) for entry in entries)


def convert_object(document: dict[str, object], shape: type[Shape]) -> Shape:
    """Turn a parsed object into a shape; `InvalidInputError` `bad-field` names the member at fault."""
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as exc:
        text, _, path = str(exc).partition(_AT)
        field = path.rstrip("`") or _missing_member(text)
        fields = {field: text} if field else None
        where = f" in {field!r}" if field else ""
        raise InvalidInputError("bad-field", f"The document is not as expected{where}: {text}.", fields=fields) from exc


def write_document(document: object) -> bytes:
    """Return the JSON text (UTF-8, one line) of a shape."""
    return msgspec.json.encode(document)


def _missing_member(text: str) -> str:
    _, found, name = text.partition("missing required field `")
    return name.rstrip("`") if found else ""
