"""The terminal side of `devices held`, `accept` and `refuse`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ownroot.cli.options import Target
from ownroot.cli.progress import Progress, progress_bar
from ownroot.client.api import Api
from ownroot.console.exit_codes import ExitCode
from ownroot.console.output import Output
from ownroot.console.text import counted, printable
from ownroot.errors import NotFoundError, OwnrootError
from ownroot.wire.held_devices import (
    MOST_VERDICTS,
    HeldDeviceList,
    HeldDeviceObject,
    HeldKeyObject,
    HeldOutcome,
    HeldReview,
    HeldVerdicts,
)

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN = 20


class Verdict(StrEnum):
    """What the owner says of held devices."""

    ACCEPT = "accept"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Choice:
    """On whom a verdict is: these uuids, or with none all, narrowed by a device CA.

    Args:
        key: picks one of a uuid's.
        may_replace_keys: also where accepting would give a known device another key, and its identity with it.
    """

    uuids: tuple[str, ...]
    ca_serial: str | None = None
    key: str | None = None
    may_replace_keys: bool = True


@dataclass(slots=True)
class _Tally:
    done: list[HeldOutcome] = field(default_factory=list)
    left: list[HeldOutcome] = field(default_factory=list)

    def add(self, outcomes: Sequence[HeldOutcome]) -> None:
        for outcome in outcomes:
            (self.done if outcome.done else self.left).append(outcome)


_PAST: Mapping[Verdict, str] = {Verdict.ACCEPT: "Accepted", Verdict.REFUSE: "Refused"}


def show_held(target: Target, *, ca_serial: str | None, page: int, limit: int, as_json: bool) -> None:
    """Fetch and show one page."""
    with target.open() as api:
        found = api.held_devices(ca_serial=ca_serial, limit=limit, page=page)
    output = Output(as_json=as_json)
    if as_json:
        output.document(found)
        return
    if found.held:
        output.draw(_table(found.held))
    output.note(_summary(found, page))


def judge(
    target: Target, choice: Choice, verdict: Verdict, *, dry_run: bool, assume_yes: bool, as_json: bool
) -> ExitCode:
    """Carry out a verdict on devices that are held now; returns the exit code.

    Raises:
        NotFoundError: `held-unknown`: a uuid named is not held. Nothing was changed.
        DeclinedError: the owner said no, or nobody is there to say yes.
        OwnrootError: the server cannot be asked; what was carried out before is told, and repeating is safe.
    """
    output = Output(as_json=as_json)
    access = target.access()
    with Api(access) as api:
        found = list(_chosen(api, choice, verdict))
        chosen = [one for one in found if choice.may_replace_keys or not one.replaces_key]
        tally = _Tally(left=[] if choice.may_replace_keys else [_left_alone(one) for one in found if one.replaces_key])
        _announce(output, verdict, chosen)
        if chosen and not dry_run:
            if output.can_ask or not choice.uuids:
                output.confirm(_question(verdict, chosen, access.factory), assume_yes=assume_yes)
            _carry_out(api, verdict, chosen, tally, output)
    _report(output, access.factory, verdict, chosen if dry_run else None, tally)
    return ExitCode.REFUSED if tally.left else ExitCode.OK


def _chosen(api: Api, choice: Choice, verdict: Verdict) -> Iterator[HeldDeviceObject]:
    if not choice.uuids:
        yield from _all(lambda page: api.held_devices(ca_serial=choice.ca_serial, page=page))
        return
    for uuid in dict.fromkeys(choice.uuids):
        held = [one for one in api.held_devices(uuid=uuid).held if choice.key in (None, one.key_sha256)]
        if not held and not (verdict is Verdict.ACCEPT and _is_known(api, uuid)):
            raise NotFoundError("held-unknown", f"No device with the uuid {uuid} and such a key is held.")
        yield from held


def _left_alone(one: HeldDeviceObject) -> HeldOutcome:
    return HeldOutcome(
        uuid=one.uuid,
        key_sha256=one.key_sha256,
        done=False,
        code="held-key-replaces",
        message="known with another key, so it is not accepted along with all; name it, or add --replace-keys",
    )


def _all(fetch: Callable[[int], HeldDeviceList]) -> Iterator[HeldDeviceObject]:
    """Every held device once; pages move when others review at the same time."""
    seen: set[tuple[str, str]] = set()
    page, last = 1, False
    while not last:
        found = fetch(page)
        for one in found.held:
            if (one.uuid, one.key_sha256) not in seen:
                seen.add((one.uuid, one.key_sha256))
                yield one
        page, last = page + 1, found.next is None


def _is_known(api: Api, uuid: str) -> bool:
    """Was it accepted before? Saying so again is no mistake."""
    try:
        api.device(uuid, by_uuid=True)
    except NotFoundError:
        return False
    return True


def _announce(output: Output, verdict: Verdict, chosen: Sequence[HeldDeviceObject]) -> None:
    for one in chosen[:_SHOWN]:
        change = ", in place of the key it is known with" if one.replaces_key else ""
        output.note(f"{verdict}: {one.uuid} with key {one.key_sha256[:16]}…{change}")
    if len(chosen) > _SHOWN:
        output.note(f"… and {len(chosen) - _SHOWN} more.")


def _question(verdict: Verdict, chosen: Sequence[HeldDeviceObject], factory: str) -> str:
    replacing = sum(one.replaces_key for one in chosen)
    known = f" {replacing} of them are known with another key." if replacing else ""
    return f"{verdict.capitalize()} {counted(len(chosen), 'device')} held in factory {factory}?{known}"


def _carry_out(api: Api, verdict: Verdict, chosen: Sequence[HeldDeviceObject], tally: _Tally, output: Output) -> None:
    send = api.accept_held if verdict is Verdict.ACCEPT else api.refuse_held
    try:
        with progress_bar(as_json=output.as_json or len(chosen) <= MOST_VERDICTS) as progress:
            _send_all(send, verdict, chosen, tally, progress)
    except OwnrootError:
        output.note(f"{_PAST[verdict]} before that: {len(tally.done)} of {len(chosen)}. Run the command again.")
        raise


def _send_all(
    send: Callable[[HeldVerdicts], HeldReview],
    verdict: Verdict,
    chosen: Sequence[HeldDeviceObject],
    tally: _Tally,
    progress: Progress,
) -> None:
    keys = [HeldKeyObject(uuid=one.uuid, key_sha256=one.key_sha256) for one in chosen]
    for start in range(0, len(keys), MOST_VERDICTS):
        tally.add(send(HeldVerdicts(held=tuple(keys[start : start + MOST_VERDICTS]))).outcomes)
        progress(verdict, min(start + MOST_VERDICTS, len(keys)), len(keys))


def _report(
    output: Output, factory: str, verdict: Verdict, planned: Sequence[HeldDeviceObject] | None, tally: _Tally
) -> None:
    if output.as_json:
        output.document(
            {
                "factory": factory,
                "verdict": verdict,
                "dry-run": planned is not None,
                "planned": planned or (),
                "done": tally.done,
                "not-done": tally.left,
            }
        )
        return
    if planned is not None:
        output.line(f"{verdict.capitalize()} would be on {counted(len(planned), 'device')}. Nothing was changed.")
        return
    if not tally.done and not tally.left:
        output.line("Nothing of that is held, so nothing was changed.")
        return
    for outcome in tally.left:
        output.line(f"{outcome.uuid} (key {outcome.key_sha256}): {outcome.message} [{outcome.code}]")
    output.line(f"{_PAST[verdict]} {counted(len(tally.done), 'device')}; {len(tally.left)} stay held.")


def _table(held: Sequence[HeldDeviceObject]) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("UUID", "CERTIFICATE FROM", "LAST SEEN", "DEVICE CA", "KNOWN", "KEY"):
        table.add_column(heading, overflow="fold")
    for one in held:
        known = "with another key" if one.replaces_key else "no"
        table.add_row(printable(one.uuid), one.not_before, one.last_seen, one.ca_serial, known, one.key_sha256)
    return table


def _summary(found: HeldDeviceList, page: int) -> str:
    if not found.held:
        return "No devices are held." if page == 1 else f"None on page {page}; {counted(found.total, 'device')} held."
    text = f"{len(found.held)} of {counted(found.total, 'device')} held."
    return f"{text} Next page: add -p{page + 1}" if found.next else text
