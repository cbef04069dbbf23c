"""The terminal side of `keys show`."""

from collections.abc import Sequence
from pathlib import Path

from ownroot.cli.key_holders import find_holders
from ownroot.cli.options import Target
from ownroot.cli.pki_directory import PkiDirectory
from ownroot.cli.pki_view import Entry, PkiView, called, view_pki
from ownroot.cli.tuf_holders import TufHolder, find_tuf_holders, is_taken_over, production_threshold
from ownroot.cli.tuf_key_file import EMPTY, KeyFile
from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.cli.tuf_roots import UpdateView, read_view, verify_roots
from ownroot.client.repository import RepositoryApi
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.errors import NotFoundError
from ownroot.tuf.metadata import Role

_TAKE_PKI = "Take the PKI over with: ownroot keys ca create DIR"
_TAKE_TUF = "Take TUF over with: ownroot keys tuf rotate-offline-key -r root --first-time -k KEYS.tgz"
_ADD_TARGETS = "Make a targets key with: ownroot keys tuf rotate-offline-key -r targets -k KEYS.tgz"


def run_show(target: Target, *, pki_dir: Path | None, keys: Path | None, as_json: bool) -> None:
    """Fetch, verify and show both.

    Raises:
        InvalidInputError: a file cannot be read. RefusedError: as `verify_roots`, `read_view`.
    """
    access, output, now = target.access(), Output(as_json=as_json), utc_now()
    holders = None if pki_dir is None else find_holders(PkiDirectory(pki_dir))
    file = EMPTY if keys is None else KeyFileStore(keys).read()
    with RepositoryApi(access) as api:
        answer = api.certs()
        tuf = _tuf_view(api, file)
    pki = view_pki(answer, now, holders)
    tuf_holders = [] if tuf is None else list(find_tuf_holders(tuf, file, keys))
    next_steps = _next_steps(tuf, tuf_holders, pki_taken=answer.is_taken_over)
    if as_json:
        output.document(
            {
                "factory": access.factory,
                "pki": {"taken-over": answer.is_taken_over, "keys": [_pki_key(entry) for entry in pki.entries]},
                "tuf": None if tuf is None else _tuf_document(tuf, tuf_holders),
                "next-steps": next_steps,
            }
        )
        return
    output.line(f"Factory {access.factory}")
    _tell_pki(pki, output, is_taken_over=answer.is_taken_over)
    _tell_tuf(tuf, tuf_holders, output)
    for step in next_steps:
        output.line(step)


def _tuf_view(api: RepositoryApi, file: KeyFile) -> UpdateView | None:
    """Return what the server tells of TUF; None if it has no repository for this factory."""
    try:
        verified = verify_roots(api, file)
    except NotFoundError:
        return None
    return read_view(api.root_updates(), verified, now=utc_now())


def _next_steps(tuf: UpdateView | None, holders: Sequence[TufHolder], *, pki_taken: bool) -> list[str]:
    steps = [] if pki_taken else [_TAKE_PKI]
    if tuf is not None and not is_taken_over(tuf):
        return [*steps, _TAKE_TUF]
    if tuf is not None and not any(each.role is Role.TARGETS and not each.is_online for each in holders):
        return [*steps, _ADD_TARGETS]
    return steps


def _tell_pki(pki: PkiView, output: Output, *, is_taken_over: bool) -> None:
    output.line("PKI: which devices are let in")
    if not is_taken_over:
        output.line("  all keys are the operator's: the factory runs on the shared PKI")
    for entry in pki.entries:
        output.line(f"  {called(entry.kind):24}{entry.holder}")


def _tell_tuf(tuf: UpdateView | None, holders: Sequence[TufHolder], output: Output) -> None:
    output.line("TUF: what they install")
    if tuf is None:
        output.line("  this server has no TUF repository for the factory")
        return
    for each in holders:
        output.line(f"  {f'{each.role} {each.key_id[:12]}':24}{each.holder}")
    root = tuf.verified.root
    needed = root.roles[Role.ROOT].threshold
    line = f"  root {root.version} until {root.expires:%Y-%m-%d}; {needed} root key{'s' * (needed > 1)} must sign"
    production = production_threshold(tuf)
    output.line(line if production is None else f"{line}, {production} targets keys for production devices")


def _pki_key(entry: Entry) -> dict[str, object]:
    return {"kind": entry.kind, "serial": entry.serial, "standing": entry.standing, "holder": entry.holder}


def _tuf_document(tuf: UpdateView, holders: Sequence[TufHolder]) -> dict[str, object]:
    root = tuf.verified.root
    return {
        "taken-over": is_taken_over(tuf),
        "root-version": root.version,
        "expires": f"{root.expires:%Y-%m-%dT%H:%M:%SZ}",
        "thresholds": {"root": root.roles[Role.ROOT].threshold, "production-targets": production_threshold(tuf)},
        "keys": [
            {"role": each.role.value, "key-id": each.key_id, "online": each.is_online, "holder": each.holder}
            for each in holders
        ],
    }
