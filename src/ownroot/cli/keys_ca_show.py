"""The terminal side of `keys ca show`: PEM for programs, a tree for people, JSON for scripts.

PEM takes one request. The tree and JSON count certificates and devices of each device CA: two requests, and one per CA.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ownroot.cli.device_counts import count_devices, count_issued
from ownroot.cli.key_holders import find_holders
from ownroot.cli.options import Target
from ownroot.cli.pki_directory import PkiDirectory
from ownroot.cli.pki_view import DEVICE_CA_KINDS, Entry, PkiView, Standing, called, view_pki
from ownroot.client.api import Api, CertsAnswer
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.console.text import printable
from ownroot.errors import NotFoundError
from ownroot.pki.encoding import certificate_pem

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

_COLOURS = {Standing.VALID: "green", Standing.DISABLED: "yellow"}
_NEXT_STEP = "Take it over with: ownroot keys ca create DIR"


class Part(StrEnum):
    """What to show alone."""

    ROOT = "root"
    TLS = "tls"
    DEVICE_CAS = "device-cas"


@dataclass(frozen=True, slots=True)
class _Counts:
    """Counts by serial of the device CA.

    Attributes:
        devices: those whose certificate accepted last it signed; None if this token may not count them.
        issued: certificates it signed; a CA of which the server does not know is missing.
    """

    devices: Mapping[str, int] | None
    issued: Mapping[str, int]

    def of(self, serial: str) -> tuple[int | None, int | None]:
        """Return devices and certificates, None for what is not known."""
        return None if self.devices is None else self.devices[serial], self.issued.get(serial)


def show_pki(target: Target, *, pki_dir: Path | None, pretty: bool, just: Part | None, as_json: bool) -> None:
    """Fetch and show; without a PKI of its own, say so and what comes next.

    Args:
        pki_dir: looked through for the owner's keys; None: the tree says no more than "the owner".
    Raises:
        InvalidInputError: a file in the directory cannot be read.
        NotFoundError: `pki-not-set-up`, when one part alone was asked for and there is none.
    """
    access = target.access()
    output, now = Output(as_json=as_json), utc_now()
    holders = None if pki_dir is None else find_holders(PkiDirectory(pki_dir))
    with Api(access) as api:
        answer = api.certs()
        view = view_pki(answer, now, holders)
        entries = _chosen(view, just)
        is_counted = as_json or (pretty and answer.is_taken_over)
        counts = _count(api, entries) if is_counted else _Counts(None, {})
    if just is not None and not entries:
        raise NotFoundError("pki-not-set-up", f"Factory {access.factory} has no {just} certificate of its own yet.")
    if as_json:
        whole = just is None
        output.document(_document(access.factory, answer, view, counts) if whole else _documents(entries, counts))
    elif not answer.is_taken_over:
        output.line(f"Factory {access.factory} runs on the shared PKI; the operator of the server holds its keys.")
        output.line(_NEXT_STEP)
    elif pretty:
        output.draw(_tree(access.factory, view, just, counts, now))
        if counts.devices is None:
            output.line("How many devices each device CA has is not known, since this token may not list devices.")
    else:
        _print_pem(entries, output, titles=just is None)


def _count(api: Api, entries: Iterable[Entry]) -> _Counts:
    device_cas = [entry for entry in entries if entry.kind in DEVICE_CA_KINDS]
    return _Counts(count_devices(api, device_cas), count_issued(api) if device_cas else {})


def _chosen(view: PkiView, just: Part | None) -> tuple[Entry, ...]:
    if just is None:
        return view.entries
    parts = {Part.ROOT: (view.root,), Part.TLS: (view.tls,), Part.DEVICE_CAS: view.device_cas}
    return tuple(entry for entry in parts[just] if entry is not None)


def _print_pem(entries: tuple[Entry, ...], output: Output, *, titles: bool) -> None:
    for entry in entries:
        if titles:
            output.line(f"## {called(entry.kind)}, serial {entry.serial}, {entry.standing}")
        output.line(certificate_pem(entry.certificate).rstrip("\n"))


def _one_document(entry: Entry, counts: _Counts) -> dict[str, object]:
    if entry.kind not in DEVICE_CA_KINDS:
        return entry.document()
    devices, issued = counts.of(entry.serial)
    return entry.document() | {"devices": devices, "issued": issued}


def _documents(entries: Iterable[Entry], counts: _Counts) -> list[dict[str, object]]:
    return [_one_document(entry, counts) for entry in entries]


def _document(factory: str, answer: CertsAnswer, view: PkiView, counts: _Counts) -> dict[str, object]:
    def one(entry: Entry | None) -> dict[str, object] | None:
        return None if entry is None else entry.document()

    return {
        "factory": factory,
        "taken-over": answer.is_taken_over,
        "root": one(view.root),
        "tls": one(view.tls),
        "est-tls": one(view.est_tls),
        "device-cas": _documents(view.device_cas, counts),
        "disabled-ca-serials": answer.certs.disabled_ca_serials,
        "change-meta": answer.certs.change_meta,
        "next-step": None if answer.is_taken_over else _NEXT_STEP,
    }


def _tree(factory: str, view: PkiView, just: Part | None, counts: _Counts, now: datetime) -> "Tree":
    """Draw what signs what: everything hangs under the root."""
    from rich.tree import Tree

    if just is not None or view.root is None:
        tree, below = Tree(f"Factory {factory}"), _chosen(view, just)
    else:
        tree, below = Tree(_leaf(view.root, counts, now)), _chosen(view, just)[1:]
    for entry in below:
        tree.add(_leaf(entry, counts, now))
    return tree


def _leaf(entry: Entry, counts: _Counts, now: datetime) -> "Text":
    from rich.text import Text

    text = Text()
    text.append(called(entry.kind), style="bold").append("  ")
    text.append(entry.standing, style=_COLOURS.get(entry.standing, "red"))
    for label, value, style in _rows(entry, counts, now):
        text.append(f"\n{label:9}", style="dim").append(printable(value), style=style)
    return text


def _rows(entry: Entry, counts: _Counts, now: datetime) -> Iterator[tuple[str, str, str]]:
    """Yield label, value and style of what there is to say about one certificate."""
    certificate, last_day = entry.certificate, entry.last_safe_day
    yield "subject", certificate.subject.rfc4514_string(), ""
    if entry.dns_names:
        yield "for", ", ".join(entry.dns_names), ""
    yield "serial", entry.serial, ""
    days = (certificate.not_valid_after_utc - now).days
    left = f" ({_span(days)} left)" if days >= 0 else ""
    yield (
        "valid",
        f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}{left}",
        "",
    )
    if now.date() <= last_day:
        yield "replace", f"by {last_day}, the last safe day", ""
    else:
        yield "replace", f"act now: last safe day was {last_day}", "bold red"
    yield "key with", entry.holder, ""
    if entry.kind in DEVICE_CA_KINDS:
        devices, issued = counts.of(entry.serial)
        if issued is not None:
            yield "issued", f"{issued} certificates", ""
        if devices is not None:
            yield "devices", f"{devices} whose last accepted certificate it signed", ""


def _span(days: int) -> str:
    return f"{days // 365} years" if days >= 730 else f"{days} days"
