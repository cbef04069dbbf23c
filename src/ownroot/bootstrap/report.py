"""Where a running server listens."""

import msgspec


class ServeReport(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    """The content of `serve.json`, and the one line of `--json-ready`.

    `est`: the listener for EST alone, where there is one. `gateway_admin`: where each worker answers `/readyz` and
    `/metrics`, worker 0 first.
    """

    pid: int
    api: str | None = None
    gateway: str | None = None
    est: str | None = None
    gateway_name: str | None = None
    workers: int | None = None
    gateway_admin: tuple[str, ...] = ()


class RegistrationReport(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The content of `serve-registration.json`, and the one line of `--json-ready`."""

    pid: int
    registration: str
    factory: str
    gateway: str
