"""The terminal side of a TUF ceremony: request, approve, apply, and a record checked years later."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from ownroot import __version__
from ownroot.cli.ceremony_files import read_ceremony_file, read_content, require_new_file, write_ceremony_file
from ownroot.cli.ceremony_view import digest_groups
from ownroot.cli.hsm import HsmKeys
from ownroot.cli.keys_tuf_run import ChangeOptions, given_up_on_failure
from ownroot.cli.tuf_change import RootChange
from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.cli.tuf_offline import OfflineApproval, TufApproved, require_possible
from ownroot.cli.tuf_owner_keys import KeyFiles, OwnerKeys
from ownroot.cli.tuf_roots import UpdateView, walk
from ownroot.client.access import ApiAccess
from ownroot.client.repository import RepositoryApi
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.errors import ConflictError, InvalidInputError, OwnrootError, RefusedError
from ownroot.tuf.keys import TufKey
from ownroot.tuf.metadata import ROOT_MAX_OCTETS, Role, Root, parse_document, read_root
from ownroot.tuf.root_rules import Chains
from ownroot.tuf.updates import Upload
from ownroot.wire.tuf import parse_stage
from ownroot.wire.tuf_ceremony import (
    TUF_CEREMONY,
    RotateKey,
    TufApprovalFile,
    TufOrder,
    TufRecordFile,
    TufRequest,
    TufRequestFile,
    tuf_request_file,
    verify_tuf_file,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveOptions:
    """What the command line says beside request and approval."""

    keys: Path
    targets_keys: Path | None
    operators: tuple[str, ...]
    record: Path
    assume_yes: bool
    as_json: bool


def run_request(options: ChangeOptions, out: Path, order: TufOrder, message: str) -> None:
    """Begin a change unless there is one, and write down what the offline machine must know.

    With a key file the root is taken over: the first root key goes there, and the order is to replace it. A change that
    was begun for a request that could not be written is given up.

    Raises:
        ConflictError: `tuf-update-active`, at a take-over; `ceremony-file-exists`. OwnrootError: as `RootChange`,
            `require_possible`.
    """
    access, output = options.target.access(), options.output
    require_new_file(out)
    txid = None
    with options.opened() as change, given_up_on_failure(change, output):
        view = change.look()
        require_possible(order, view)
        if options.keys is not None:
            change.require_none_open(view)
        if view.staged is None:
            txid = change.begin(message, first_time=options.keys is not None)
            view = change.look()
        if options.keys is not None and isinstance(order, RotateKey):
            order = msgspec.structs.replace(order, replaces=change.key_file(Role.ROOT).first_root)
        file = tuf_request_file(_request(access, order, view))
        write_ceremony_file(out, file)
    if options.as_json:
        output.document({"file": str(out), "factory": access.factory, "sha256": file.sha256, "txid": txid})
    if txid is not None:
        output.line(f"A change has begun. Its transaction id, shown now and never again: {txid}")
    output.line(f"The request is in {out}. Its digest, to be compared where it is approved:")
    output.line(f"  {digest_groups(file.sha256)}")
    output.line("Next, on the machine with the keys:")
    output.line(f"  ownroot keys tuf approve {out.name} approval.json -k KEYS.tgz --operator NAME")


def run_approve(source: Path, out: Path, hsm: HsmKeys | None, options: ApproveOptions) -> None:
    """Check, show, ask, sign, write. No network is used."""
    if not all(name.strip() and name.isprintable() for name in options.operators):
        raise InvalidInputError("operator-name", "An operator's name is empty or not printable.")
    file, output = read_ceremony_file(source, TUF_CEREMONY, TufRequestFile), Output(as_json=options.as_json)
    for path in (out, options.record):
        require_new_file(path)
    files = KeyFiles(KeyFileStore(options.keys), KeyFileStore(options.targets_keys or options.keys))
    shown = Output(as_json=options.as_json and options.assume_yes)
    with files.held():
        approval = OfflineApproval(file, files, OwnerKeys(hsm), now=utc_now(), say=shown.note)
        draft = approval.draft()
        for line in _plan(file, draft.amendments):
            shown.note(line)
        output.confirm(f"Sign this for factory {file.body.factory} now?", assume_yes=options.assume_yes)
        done = approval.approve(
            draft, operators=options.operators, write=lambda made: _write(made, out, options.record)
        )
    if options.as_json:
        output.document(
            {
                "file": str(out),
                "record": str(options.record),
                "request-sha256": file.sha256,
                "approval-sha256": done.approval.sha256,
                "amendments": draft.amendments,
            }
        )
    output.line(f"The approval is in {out}, the record to keep in {options.record}. Digest of the approval:")
    output.line(f"  {digest_groups(done.approval.sha256)}")
    output.line("Next, on the machine that reaches the server:")
    output.line(f"  ownroot keys tuf apply {out.name}")


def run_apply(options: ChangeOptions, source: Path) -> None:
    """Verify, ask, upload, and publish once nothing is missing.

    Raises:
        ConflictError: `ceremony-other-factory`, `ceremony-stale`. RefusedError: `ceremony-signature`.
        OwnrootError: as `RootChange`.
    """
    file, access, output = (
        read_ceremony_file(source, TUF_CEREMONY, TufApprovalFile),
        options.target.access(),
        options.output,
    )
    if file.body.factory != access.factory:
        raise ConflictError(
            "ceremony-other-factory", f"The approval is for factory {file.body.factory}, not {access.factory}."
        )
    sent = parse_stage(msgspec.json.encode(file.body.upload)).upload
    with options.opened() as change:
        view = change.look()
        root = read_root(sent.chains.ci.signed)
        verify_tuf_file(file, {**_root_keys(root), **_root_keys(view.verified.root)})
        was_sent = view.current.ci.signed != sent.chains.ci.signed
        missing = _carry_out(change, view, sent, file, options) if was_sent else []
    if options.as_json:
        output.document({"version": root.version, "sent": was_sent, "in-effect": not missing, "missing": missing})
    for line in missing:
        output.line(f"still missing: {line}")
    if missing:
        output.line("It is staged. Ask the next key holder: ownroot keys tuf request sign REQUEST.json")
    elif was_sent:
        output.line(f"Root {root.version} is published, for test and production devices.")
    else:
        output.line(f"Root {root.version} is in effect already; nothing was sent.")


def run_verify_record(source: Path, root_file: Path, *, as_json: bool) -> None:
    """Check a record with a root from a trusted source.

    Raises:
        RefusedError: `ceremony-signature`. InvalidInputError: `ceremony-record-wrong`, or why a file cannot be read.
    """
    output = Output(as_json=as_json)
    file = read_ceremony_file(source, TUF_CEREMONY, TufRecordFile)
    root = read_root(parse_document(read_content(root_file), max_octets=2 * ROOT_MAX_OCTETS).signed)
    signers = verify_tuf_file(file, _root_keys(root))
    body = file.body
    if TUF_CEREMONY.digest(body.request) != body.request_sha256:
        raise InvalidInputError(
            "ceremony-record-wrong", "The record is signed, and yet the request in it is not the one it names."
        )
    if as_json:
        output.document(
            {
                "factory": body.request.factory,
                "approved-at": body.approved_at,
                "operators": body.operators,
                "requested-by": body.request.requested_by,
                "amendments": body.amendments,
                "request-sha256": body.request_sha256,
                "approval-sha256": body.approval_sha256,
                "signed-by": sorted(signers),
            }
        )
    output.line(
        f"Factory {body.request.factory}, {body.approved_at:%Y-%m-%d %H:%M} UTC, by {', '.join(body.operators)}:"
    )
    for line in body.amendments:
        output.line(f"  - {line}")
    output.line(f"Signed by {', '.join(sorted(signers))}. Whether it was applied, no record says.")


def _request(access: ApiAccess, order: TufOrder, view: UpdateView) -> TufRequest:
    with RepositoryApi(access) as api:
        chains = [walk(api, None, production=production)[0] for production in (False, True)]
        return TufRequest(
            factory=access.factory,
            server_url=access.url,
            requested_at=utc_now(),
            requested_by=api.self_user().polis_id,
            tool=f"ownroot/{__version__}",
            order=order,
            ci_roots=tuple(root.decode() for root in chains[0]),
            prod_roots=tuple(root.decode() for root in chains[1]),
            state=view.answer,
            production_targets=msgspec.json.decode(api.production_targets()),
        )


def _plan(file: TufRequestFile, amendments: tuple[str, ...]) -> list[str]:
    body = file.body
    return [
        f"Factory {body.factory}",
        f"  asked    {body.requested_at:%Y-%m-%d %H:%M:%S} UTC by {body.requested_by}, on {body.tool}",
        f"  server   {body.server_url}",
        f"  request  {digest_groups(file.sha256)}",
        "           Compare this with what `keys tuf request` showed; only that rules out another request.",
        "What changes:",
        *[f"  - {line}" for line in amendments],
    ]


def _write(made: TufApproved, out: Path, record: Path) -> None:
    """Write both files or neither: an approval that no record tells of must not exist."""
    write_ceremony_file(record, made.record)
    try:
        write_ceremony_file(out, made.approval)
    except OwnrootError:
        record.unlink(missing_ok=True)
        raise


def _carry_out(
    change: RootChange, view: UpdateView, sent: Upload, file: TufApprovalFile, options: ChangeOptions
) -> list[str]:
    """Upload, and publish if nothing is missing; returns what is."""
    chains = sent.chains
    _require_fresh(view, chains, file)
    options.shown.note(f"Approval {digest_groups(file.sha256)}, by {', '.join(file.body.operators)}")
    options.confirm("Is the digest the one `keys tuf approve` showed? Carry it out now?", view.amendments(chains))
    if options.keys is not None:
        chains = change.sign(view, chains)
    change.stage(chains, None, dict(sent.targets_signatures))
    after = change.look()
    if after.require_staged().ci.signed != chains.ci.signed:
        raise RefusedError("tuf-staged-unexpected", "The server shows another staged root than the one it just took.")
    missing = [note.message for note in after.answer.issues.errors]
    if not missing:
        change.apply(after)
    return missing


def _require_fresh(view: UpdateView, chains: Chains, file: TufApprovalFile) -> None:
    """Refuse an approval whose change has gone another way since the request.

    Raises:
        ConflictError: `ceremony-stale`.
    """
    staged = None if view.staged is None else view.staged.ci.signed
    base = parse_document(file.body.base_ci_root or "{}", max_octets=2 * ROOT_MAX_OCTETS).signed
    if staged not in (base, chains.ci.signed):
        raise ConflictError(
            "ceremony-stale", "The change of the TUF roots is no longer the one this was approved for. Request it anew."
        )


def _root_keys(root: Root) -> dict[str, TufKey]:
    return {key_id: root.keys[key_id] for key_id in root.roles[Role.ROOT].key_ids if key_id in root.keys}
