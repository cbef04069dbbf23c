"""The terminal side of `keys ca approve`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ownroot.cli.ceremony_approval import Approved, Checked, approve, check_request
from ownroot.cli.ceremony_files import read_ceremony_file, require_new_file, write_ceremony_file
from ownroot.cli.ceremony_view import digest_groups, plan_lines
from ownroot.cli.hsm import HsmKeys
from ownroot.cli.pki_directory import PkiDirectory
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.errors import InvalidInputError, OwnrootError
from ownroot.wire.ceremony import CEREMONY, RequestFile


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveOptions:
    """What the command line says beside the files."""

    operators: tuple[str, ...]
    record: Path
    crl_lifetime: timedelta
    backdate: timedelta
    assume_yes: bool
    as_json: bool


def run_approve(source: Path, out: Path, pki_dir: Path, hsm: HsmKeys | None, options: ApproveOptions) -> None:
    """Check, show, ask, sign, write."""
    if not all(name.strip() and name.isprintable() for name in options.operators):
        raise InvalidInputError("operator-name", "An operator's name is empty or not printable.")
    file = read_ceremony_file(source, CEREMONY, RequestFile)
    directory, output = PkiDirectory(pki_dir, hsm, backdate=options.backdate), Output(as_json=options.as_json)
    for path in (out, options.record):
        require_new_file(path)
    checked = check_request(file, directory, now=utc_now())
    # Whoever is asked has to see what for, also when the result is JSON.
    shown = Output(as_json=options.as_json and options.assume_yes)
    for line in plan_lines(file, checked.change, checked.offered, root=checked.root, now=utc_now()):
        shown.note(line)
    output.confirm(f"Sign this for factory {file.body.factory} now?", assume_yes=options.assume_yes)
    done = approve(
        checked,
        directory,
        operators=options.operators,
        crl_lifetime=options.crl_lifetime,
        now=utc_now(),
        write=lambda approved: _write(approved, out, options.record),
    )
    for name in directory.exposed_keys():
        output.warn(f"{pki_dir / name} can be read by others; run `chmod 0400` on it.")
    if options.as_json:
        output.document(_document(done, out, options.record))
    _say_result(checked, done, out, options.record, output)


def _write(approved: Approved, out: Path, record: Path) -> None:
    """Write both files or neither: an approval that no record tells of must not exist."""
    write_ceremony_file(record, approved.record)
    try:
        write_ceremony_file(out, approved.approval)
    except OwnrootError:
        record.unlink(missing_ok=True)
        raise


def _say_result(checked: Checked, done: Approved, out: Path, record: Path, output: Output) -> None:
    for made in done.record.body.certificates:
        place = f", in {made.file}" if made.file else ""
        output.line(f"Made: {made.subject}, serial {made.serial}, until {made.not_after:%Y-%m-%d}{place}")
    if checked.root is None:
        root = done.record.body.root
        output.line(f"Made: the root, serial {root.serial}, until {root.not_after:%Y-%m-%d}. SHA-256:")
        output.line(f"  {digest_groups(root.sha256)}")
    output.line(f"The approval is in {out}, the record to keep in {record}.")
    if (until := done.approval.body.usable_until) is not None:
        output.line(f"It can be applied until {until:%Y-%m-%d %H:%M:%S} UTC: {_left(until, utc_now())} left.")
    if done.record.body.crl is not None:
        output.line("It holds a signed command, which lives 15 minutes by the protocol; if the way to the server is")
        output.line("longer, approve the request again with --crl-valid-minutes.")
    output.line("Next, on the machine that reaches the server:")
    output.line(f"  ownroot keys ca apply {out.name}")


def _left(until: datetime, now: datetime) -> str:
    minutes = max(0, int((until - now).total_seconds())) // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _document(done: Approved, out: Path, record: Path) -> dict[str, object]:
    body = done.approval.body
    return {
        "file": str(out.absolute()),
        "record": str(record.absolute()),
        "factory": body.request.factory,
        "request-sha256": body.request_sha256,
        "approval-sha256": done.approval.sha256,
        "root-sha256": body.root_sha256,
        "usable-until": body.usable_until,
        "certificates": [
            {"file": made.file, "subject": made.subject, "serial": made.serial, "sha256": made.sha256}
            for made in done.record.body.certificates
        ],
    }
