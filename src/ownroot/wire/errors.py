"""The error body of every endpoint, written by the server and read tolerantly by the client (protocol: api.md §1.4).

Existing clients show `message` and the entries of `errors` (a list of text, or field -> text) and ignore the rest; we
add `code`, the stable kebab-case name of the rule, for programs.
"""

from collections.abc import Mapping

import msgspec

from ownroot.errors import InvalidInputError, OwnrootError
from ownroot.tuf.updates import FaultyRootError
from ownroot.wire.documents import read_object


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong. `message` is fit for a person; never a secret or a stack trace."""

    message: str
    errors: tuple[str, ...] | dict[str, str] = ()
    code: str = ""


def error_body(error: OwnrootError) -> ErrorBody:
    """Say an error of ours on the wire; its context stays behind."""
    if isinstance(error, FaultyRootError):
        return ErrorBody(message=error.detail, errors=tuple(fault.message for fault in error.faults), code=error.code)
    return ErrorBody(message=error.detail, errors=dict(error.fields) or (), code=error.code)


def read_error_body(body: bytes) -> ErrorBody | None:
    """Read what a server said about a failure, in any shape seen in the field; None when it said nothing we can show.

    `msg` wins over `message`; lists inside `errors` are joined; anything else is turned into text.
    """
    try:
        document = read_object(body)
    except InvalidInputError:
        return None
    message = document.get("msg", document.get("message", document.get("detail", document.get("error"))))
    if not isinstance(message, str) or not message:
        return None
    code = document.get("code")
    return ErrorBody(
        message=message, errors=_read_errors(document.get("errors")), code=code if isinstance(code, str) else ""
    )


def _read_errors(errors: object) -> tuple[str, ...] | dict[str, str]:
    if isinstance(errors, Mapping):
        return {str(field): _one_line(text) for field, text in errors.items()}
    if isinstance(errors, list):
        return tuple(_one_line(entry) for entry in errors)
    return () if errors is None else (_one_line(errors),)


def _one_line(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(str(entry) for entry in value)
    return str(value)
