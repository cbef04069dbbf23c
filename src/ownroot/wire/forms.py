"""Forms: `application/x-www-form-urlencoded`, as browsers write them and as device programs do.

Device programs write values raw, with `:` as it is; browsers and libraries encode. Both read the same, since none of
our values holds `%`, `+`, `&` or `=`. A parameter that comes twice is refused: two readers might take different ones
(RFC 6749 §3.2 forbids it). An empty value counts as absent.
"""

from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from ownroot.errors import InvalidInputError
from ownroot.wire.documents import convert_object

Shape = TypeVar("Shape", bound=msgspec.Struct)

_MAX_FIELDS = 50
_MAX_VALUE_CHARS = 4096


def read_form(body: bytes, shape: type[Shape]) -> Shape:
    """Read a form into one of the shapes of this package; unknown parameters are ignored.

    Raises:
        InvalidInputError: `bad-form`; `doubled-parameter`; `bad-field`, a parameter is missing.
    """
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError as exc:  # UnicodeDecodeError is one
        raise InvalidInputError(
            "bad-form", f"The form is not UTF-8, or has more than {_MAX_FIELDS} parameters."
        ) from exc
    if any(len(value) > _MAX_VALUE_CHARS or not (name + value).isprintable() for name, value in pairs):
        raise InvalidInputError("bad-form", "A parameter of the form is too long, or holds control characters.")
    names = [name for name, _ in pairs]
    if doubled := sorted({name[:64] for name in names if names.count(name) > 1}):
        raise InvalidInputError("doubled-parameter", f"These parameters came more than once: {', '.join(doubled)}.")
    return convert_object({name: value for name, value in pairs if value}, shape)
