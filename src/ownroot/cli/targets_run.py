"""The terminal side of targets: everything shown is verified, and everything published is looked at afterwards."""

from dataclasses import dataclass
from pathlib import Path

from ownroot.cli.hsm import HsmKeys
from ownroot.cli.options import Target
from ownroot.cli.production_targets import ProductionRun, opened_production
from ownroot.cli.target_entry import EntryOptions, make_entry, why_never_offered
from ownroot.cli.tuf_roots import verify_roots
from ownroot.cli.tuf_tag import TagTargets, fetch_targets, require_targets, target_unknown
from ownroot.client.repository import RepositoryApi
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.console.text import counted
from ownroot.errors import ConflictError, RefusedError
from ownroot.tuf.canonical import Json
from ownroot.wire.tuf import TargetForm


@dataclass(frozen=True, slots=True)
class Prune:
    """Targets to take back: by name, or all but so many of the highest version."""

    names: tuple[str, ...]
    keep: int | None

    def chosen(self, found: TagTargets, tag: str) -> tuple[str, ...]:
        """Return the names that go. Raises NotFoundError `tuf-target-unknown`."""
        for name in self.names:
            if name not in found.entries:
                raise target_unknown(name, tag)
        if self.keep is None:
            return self.names
        ordered = sorted(found.entries, key=lambda name: (_number(found.entries[name]), name))
        return tuple(ordered[: -self.keep])


def run_add(target: Target, name: str, tag: str, options: EntryOptions, *, as_json: bool) -> None:
    """Publish to test devices, and see that they get just that.

    Raises:
        InvalidInputError: as `make_entry`. ConflictError: `tuf-target-exists`.
        RefusedError: `tuf-published-differs`, and as `fetch_targets`.
    """
    output, entry = Output(as_json=as_json), make_entry(name, tag, options)
    _warn_of_none(output, name, entry)
    with RepositoryApi(target.access()) as api:
        api.add_target(TargetForm(name=name, tag=tag, target=entry))
        published = fetch_targets(api, verify_roots(api), tag, production=False, now=utc_now())
    if published.entries.get(name) != entry:
        raise RefusedError("tuf-published-differs", f"The server published something else as {name}.")
    if as_json:
        output.document({"name": name, "tag": tag, "version": published.version, "target": entry})
    output.line(f"{name} is published to test devices of the tag {tag} (targets version {published.version}).")


def run_list(target: Target, tag: str, *, production: bool, as_json: bool) -> None:
    """List targets. Raises NotFoundError `tuf-tag-unknown`; RefusedError as `fetch_targets`."""
    output = Output(as_json=as_json)
    found = _fetch(target, tag, production=production)
    if as_json:
        output.document({"tag": tag, "version": found.version, "targets": found.entries})
    for name in sorted(found.entries, key=lambda name: (_number(found.entries[name]), name)):
        output.line(_line(name, found.entries[name]))
    if not found.entries:
        output.line(f"The tag {tag} has no targets.")


def run_show(target: Target, name: str, tag: str, *, production: bool, as_json: bool) -> None:
    """Show one target. Raises as `run_list`; NotFoundError `tuf-target-unknown`."""
    found = _fetch(target, tag, production=production)
    if name not in found.entries:
        raise target_unknown(name, tag)
    Output(as_json=as_json).document({name: found.entries[name]})


def run_prune(target: Target, tag: str, what: Prune, *, assume_yes: bool, as_json: bool) -> None:
    """Take targets back from test devices. Raises as `run_show`."""
    output = Output(as_json=as_json)
    with RepositoryApi(target.access()) as api:
        fetched = fetch_targets(api, verify_roots(api), tag, production=False, now=utc_now())
        found = require_targets(fetched, tag, production=False)
        names = what.chosen(found, tag)
        if names:
            output.confirm(f"Take back {', '.join(names)} from the tag {tag}?", assume_yes=assume_yes)
        for name in names:
            api.remove_target(tag, name)
    _tell_pruned(output, names, tag)


def run_add_production(
    target: Target,
    hsm: HsmKeys | None,
    keys: Path,
    name: str,
    tag: str,
    options: EntryOptions,
    *,
    assume_yes: bool,
    as_json: bool,
) -> None:
    """Publish to production devices, signed with our targets key.

    Raises:
        ConflictError: `tuf-target-exists`, and as `ProductionRun`.
    """
    output = Output(as_json=as_json)
    with opened_production(target, hsm, keys, tag, warn=output.warn) as run:
        entry = make_entry(name, tag, options) if options.names_content else _tested(run, name, tag)
        if name in run.present.entries:
            raise ConflictError("tuf-target-exists", f"There is a target {name} for the tag {tag} already.")
        _warn_of_none(output, name, entry)
        version = _publish(run, {**run.present.entries, name: entry}, output, assume_yes=assume_yes)
    if as_json:
        output.document({"name": name, "tag": tag, "version": version, "target": entry})
    output.line(f"{name} is published to production devices of the tag {tag} (targets version {version}).")


def run_prune_production(
    target: Target, hsm: HsmKeys | None, keys: Path, tag: str, what: Prune, *, assume_yes: bool, as_json: bool
) -> None:
    """Take targets back from production devices. Raises as `run_show`, `ProductionRun`."""
    output = Output(as_json=as_json)
    with opened_production(target, hsm, keys, tag, warn=output.warn) as run:
        names = what.chosen(require_targets(run.present, tag, production=True), tag)
        left = {name: entry for name, entry in run.present.entries.items() if name not in names}
        if names:
            _publish(run, left, output, assume_yes=assume_yes)
    _tell_pruned(output, names, tag)


def _publish(run: ProductionRun, entries: dict[str, dict[str, Json]], output: Output, *, assume_yes: bool) -> int:
    for sign, names in (("+", set(entries) - set(run.present.entries)), ("-", set(run.present.entries) - set(entries))):
        for name in sorted(names):
            output.note(f"  {sign} {_line(name, entries.get(name) or run.present.entries[name])}")
    for tag, other in run.others.items():
        number = counted(len(other.entries), "target")
        output.note(f"  = {tag}: {number}, as they are (version {other.version})")
    for tag, found in {run.tag: run.present, **run.others}.items():
        expired = found.expired(run.now)
        if expired is not None:
            output.note(f"  ! {tag}: expired on {expired:%Y-%m-%d}, devices refuse it; this signs it anew")
    output.confirm("Sign these targets for production devices now?", assume_yes=assume_yes)
    return run.publish(entries)


def _warn_of_none(output: Output, name: str, entry: dict[str, Json]) -> None:
    """Warn of a target that no device will ever be offered: it verifies, so nobody else would say so."""
    if lacking := why_never_offered(entry):
        output.warn(
            f"No device is ever offered {name}: it is without {' and '.join(lacking)}. Publish it with that under "
            "another name; what is published never changes."
        )


def _tested(run: ProductionRun, name: str, tag: str) -> dict[str, Json]:
    tested = run.fetch_tested().entries
    if name not in tested:
        raise target_unknown(name, tag)
    return tested[name]


def _fetch(target: Target, tag: str, *, production: bool) -> TagTargets:
    with RepositoryApi(target.access()) as api:
        found = fetch_targets(api, verify_roots(api), tag, production=production, now=utc_now())
    return require_targets(found, tag, production=production)


def _tell_pruned(output: Output, names: tuple[str, ...], tag: str) -> None:
    if output.as_json:
        output.document({"tag": tag, "pruned": names})
    output.line(f"{counted(len(names), 'target')} taken back from the tag {tag}.")


def _line(name: str, entry: dict[str, Json]) -> str:
    hashes = entry.get("hashes")
    digest = hashes.get("sha256") if isinstance(hashes, dict) else None
    return f"{name}  {digest or 'no SHA-256'}  {entry.get('length')}"


def _number(entry: dict[str, Json]) -> int:
    custom = entry.get("custom")
    version = custom.get("version") if isinstance(custom, dict) else None
    return int(version) if isinstance(version, str) and version.isdigit() else 0
