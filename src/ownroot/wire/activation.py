"""Forms of the pages on which somebody allows a device."""

import msgspec


class CodeForm(msgspec.Struct, frozen=True, kw_only=True):
    """The code from a device's screen."""

    user_code: str = ""


class SignInForm(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs in, and the code they came with."""

    user_code: str = ""
    name: str = ""
    password: str = ""


class DecisionForm(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about a code: `allow` or `deny`."""

    user_code: str = ""
    decision: str = ""
    csrf: str = ""


class SignOutForm(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody is done."""

    csrf: str = ""
