"""What `trust watch` says: one line for each thing that changed, none for what is as it was."""

from collections.abc import Sequence
from pathlib import Path

from ownroot.cli.trust_files import TrustedCa
from ownroot.cli.trust_reload import Reloaded
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.errors import OwnrootError


class WatchEvents:
    """Prints them for people, or with `--json` one document a line."""

    def __init__(self, output: Output, directory: Path) -> None:
        self._output = output
        self._directory = directory
        self._failing: str | None = None

    def written(self, names: Sequence[str], cas: Sequence[TrustedCa]) -> None:
        """Files were replaced."""
        disabled = sum(ca.disabled for ca in cas)
        counts = f"device CAs: {len(cas) - disabled} enabled, {disabled} disabled"
        paths = [str(self._directory / name) for name in names]
        self._output.line(f"Wrote {', '.join(paths)} ({counts})")
        listed = [{"serial": ca.serial, "disabled": ca.disabled} for ca in cas]
        self._document("written", files=paths, **{"device-cas": listed})

    def reloaded(self, result: Reloaded, retry_seconds: float | None) -> None:
        """The reload command ended; `retry_seconds` None: this run does not try again."""
        if result.is_done:
            self._output.line("Reloaded (exit code 0)")
            self._document("reloaded", **{"exit-code": 0})
            return
        again = "" if retry_seconds is None else f"; again in {retry_seconds:g} s"
        self._warn(f"The reload command failed: {result}{again}")
        more = {"exit-code": result.exit_code, "message": str(result), "retry-seconds": retry_seconds}
        self._document("reload-failed", **more)

    def poll_failed(self, error: OwnrootError, retry_seconds: float) -> None:
        """Nothing could be learnt; said once for each reason in a row."""
        if error.code == self._failing:
            return
        self._failing = error.code
        self._warn(f"{error.detail} The files stay as they are; again in {retry_seconds:.0f} s ({error.code})")
        more = {"code": error.code, "message": error.detail, "retry-seconds": round(retry_seconds, 1)}
        self._document("poll-failed", **more)

    def poll_worked(self) -> None:
        """An answer was verified; said only after a failure."""
        if self._failing is None:
            return
        self._failing = None
        self._output.line("The server answers again")
        self._document("poll-worked")

    def _warn(self, text: str) -> None:
        if not self._output.as_json:
            self._output.warn(text)

    def _document(self, event: str, **more: object) -> None:
        if self._output.as_json:
            self._output.document({"event": event, "at": utc_now().isoformat(), **more})
