"""The terminal side of `keys ca apply`."""

from pathlib import Path

from ownroot.cli.ceremony_apply import carry_out, verify_approval
from ownroot.cli.ceremony_files import read_ceremony_file
from ownroot.cli.ceremony_orders import change_of
from ownroot.cli.ceremony_view import digest_groups, title
from ownroot.cli.options import Target
from ownroot.client.api import Api
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.wire.ceremony import CEREMONY, ApprovalFile


def run_apply(target: Target, source: Path, *, assume_yes: bool, as_json: bool) -> None:
    """Verify, ask before a take-over, send, and say what came of it."""
    file = read_ceremony_file(source, CEREMONY, ApprovalFile)
    access, output, body = target.access(), Output(as_json=as_json), file.body
    with Api(access) as api:
        answer = api.certs()
        root = verify_approval(file, access.factory, answer.certs)
        if not answer.is_taken_over:
            # Whoever is asked has to see what for, also when the result is JSON.
            shown = Output(as_json=as_json and assume_yes)
            shown.note(f"Take over factory {access.factory} with this root. Compare its SHA-256 with the ceremony's:")
            shown.note(f"  {digest_groups(body.root_sha256)}")
            output.confirm("Is it the same? A take-over cannot be undone.", assume_yes=assume_yes)
        was_sent = carry_out(api, file, answer.certs, now=utc_now(), say=output.note)
    if as_json:
        output.document(
            {
                "factory": access.factory,
                "approval-sha256": file.sha256,
                "root-sha256": body.root_sha256,
                "sent": was_sent,
                "in-effect": True,
            }
        )
    what = title(change_of(body.request.change))
    if was_sent:
        output.line(f"Done, and the server shows it. Factory {access.factory}: {what}.")
    else:
        output.line(f"This is in effect already; nothing was sent. Factory {access.factory}: {what}.")
    output.line(f"Approved by {', '.join(body.operators)} with the root of {root.not_valid_before_utc:%Y-%m-%d}.")
