"""The exit codes of all our programs, in one table.

One code per error family, so that a script can decide whose turn it is without reading text. 2 is what click uses for
a wrong command line; 128 + n follows the shells' custom for signals.
"""

from collections.abc import Mapping
from enum import IntEnum

from ownroot.console.errors import DeclinedError
from ownroot.errors import (
    ConflictError,
    InvalidInputError,
    KeyStoreError,
    NotFoundError,
    OwnrootError,
    RefusedError,
    UnauthenticatedError,
    UnavailableError,
)


class ExitCode(IntEnum):
    """Why a program ended."""

    OK = 0
    FAULT = 1
    USAGE = 2
    INVALID_INPUT = 3
    REFUSED = 4
    UNAUTHENTICATED = 5
    NOT_FOUND = 6
    CONFLICT = 7
    KEY_STORE = 8
    UNAVAILABLE = 9
    DECLINED = 10
    UNHEALTHY = 11
    INTERRUPTED = 130


EXIT_CODE_BY_FAMILY: Mapping[type[OwnrootError], ExitCode] = {
    InvalidInputError: ExitCode.INVALID_INPUT,
    RefusedError: ExitCode.REFUSED,
    UnauthenticatedError: ExitCode.UNAUTHENTICATED,
    NotFoundError: ExitCode.NOT_FOUND,
    ConflictError: ExitCode.CONFLICT,
    KeyStoreError: ExitCode.KEY_STORE,
    UnavailableError: ExitCode.UNAVAILABLE,
    DeclinedError: ExitCode.DECLINED,
}

# `\b` tells click to keep the lines as they are.
EXIT_CODES_HELP = """\b
Exit codes:
  0 done            3 bad input        6 not found       9 not now, try again
  1 a fault of ours 4 refused          7 conflict       10 you said no
  2 usage           5 not logged in    8 key unusable   11 doctor found a fault
                                                       130 interrupted"""


def exit_code_of(error: OwnrootError) -> ExitCode:
    """Return the exit code of an error's family; a family without a row is a fault of ours."""
    for family in type(error).__mro__:
        if family in EXIT_CODE_BY_FAMILY:
            return EXIT_CODE_BY_FAMILY[family]
    return ExitCode.FAULT
