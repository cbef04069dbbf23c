"""The terminal side of `keys ca show`: PEM for programs, a tree for people, JSON for scripts."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from ownroot.cli.options import Target
from ownroot.cli.pki_view import Entry, Kind, PkiView, Standing, view_pki
from ownroot.client.api import Api, CertsAnswer
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.console.text import printable
from ownroot.errors import NotFoundError
from ownroot.pki.encoding import certificate_pem

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

_TITLES = {
    Kind.ROOT: "Factory root",
    Kind.GATEWAY_TLS: "Gateway TLS certificate",
    Kind.EST_TLS: "EST TLS certificate",
    Kind.ONLINE_CA: "Online device CA",
    Kind.LOCAL_CA: "Local device CA",
}
_COLOURS = {Standing.VALID: "green", Standing.DISABLED: "yellow"}
_NEXT_STEP = "Take it over with: ownroot keys ca create DIR"


class Part(StrEnum):
    """What to show alone."""

    ROOT = "root"
    TLS = "tls"
    DEVICE_CAS = "device-cas"


def show_pki(target: Target, *, pretty: bool, just: Part | None, as_json: bool) -> None:
    """Fetch and show; without a PKI of its own, say so and what comes next.

    Raises:
        NotFoundError: `pki-not-set-up`, when one part alone was asked for and there is none.
    """
    access = target.access()
    with Api(access) as api:
        answer = api.certs()
    output, now = Output(as_json=as_json), utc_now()
    view = view_pki(answer, now)
    entries = _chosen(view, just)
    if just is not None and not entries:
        raise NotFoundError("pki-not-set-up", f"Factory {access.factory} has no {just} certificate of its own yet.")
    if as_json:
        output.document(_document(access.factory, answer, view) if just is None else [e.document() for e in entries])
    elif not answer.is_taken_over:
        output.line(f"Factory {access.factory} runs on the shared PKI; the operator of the server holds its keys.")
        output.line(_NEXT_STEP)
    elif pretty:
        output.draw(_tree(access.factory, view, just, now))
    else:
        _print_pem(entries, output, titles=just is None)


def _chosen(view: PkiView, just: Part | None) -> tuple[Entry, ...]:
    parts = {Part.ROOT: (view.root,), Part.TLS: (view.tls,), Part.DEVICE_CAS: view.device_cas}
    wanted = (view.root, view.tls, view.est_tls, *view.device_cas) if just is None else parts[just]
    return tuple(entry for entry in wanted if entry is not None)


def _print_pem(entries: tuple[Entry, ...], output: Output, *, titles: bool) -> None:
    for entry in entries:
        if titles:
            output.line(f"## {_TITLES[entry.kind]}, serial {entry.serial}, {entry.standing}")
        output.line(certificate_pem(entry.certificate).rstrip("\n"))


def _document(factory: str, answer: CertsAnswer, view: PkiView) -> dict[str, object]:
    def one(entry: Entry | None) -> dict[str, object] | None:
        return None if entry is None else entry.document()

    return {
        "factory": factory,
        "taken-over": answer.is_taken_over,
        "root": one(view.root),
        "tls": one(view.tls),
        "est-tls": one(view.est_tls),
        "device-cas": [entry.document() for entry in view.device_cas],
        "disabled-ca-serials": answer.certs.disabled_ca_serials,
        "change-meta": answer.certs.change_meta,
        "next-step": None if answer.is_taken_over else _NEXT_STEP,
    }


def _tree(factory: str, view: PkiView, just: Part | None, now: datetime) -> "Tree":
    """Draw what signs what: everything hangs under the root."""
    from rich.tree import Tree

    if just is not None or view.root is None:
        tree = Tree(f"Factory {factory}")
        for entry in _chosen(view, just):
            tree.add(_leaf(entry, now))
        return tree
    tree = Tree(_leaf(view.root, now))
    for below in (view.tls, view.est_tls, *view.device_cas):
        if below is not None:
            tree.add(_leaf(below, now))
    return tree


def _leaf(entry: Entry, now: datetime) -> "Text":
    from rich.text import Text

    certificate = entry.certificate
    days = (certificate.not_valid_after_utc - now).days
    colour = _COLOURS.get(entry.standing, "red")
    text = Text()
    text.append(_TITLES[entry.kind], style="bold").append("  ").append(entry.standing, style=colour)
    rows = [
        ("subject", certificate.subject.rfc4514_string()),
        ("serial", entry.serial),
        ("valid", f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"),
        ("key with", entry.holder),
    ]
    if entry.dns_names:
        rows.insert(1, ("for", ", ".join(entry.dns_names)))
    for label, value in rows:
        text.append(f"\n{label:9}", style="dim").append(printable(value))
        if label == "valid" and days >= 0:
            text.append(f" ({_span(days)} left)", style="red" if days < 30 else "dim")
    return text


def _span(days: int) -> str:
    return f"{days // 365} years" if days >= 730 else f"{days} days"
