"""A registration server that a simulated factory floor starts for itself, so that it may pull its plug too."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ownroot.errors import UnavailableError
from ownroot.sim.programs import Programs

_START_SECONDS = 60
_STOP_SECONDS = 15
# What the journal calls a certificate that left for a device, the first one or a later one.
_ISSUED = frozenset({"registered", "renewed", "replaced"})


@dataclass(slots=True)
class FloorServer:
    """`ownroot serve registration` with a journal of its own. Start it, stop it.

    Args:
        pki: a directory as `ownroot keys ca create --local-ca` makes it.
        place: an empty directory for its journal, its list and its log.
    """

    pki: Path
    place: Path
    restarts: int = 0
    url: str = ""
    _listen: str = "127.0.0.1:0"
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def start(self, uuids: Iterable[str]) -> None:
        """Serve the boards with these uuids and no others; on return it answers.

        Raises:
            UnavailableError: `server-did-not-start`, with the end of its log.
        """
        lines = "".join(f"{uuid}\n" for uuid in uuids)
        (self.place / "boards.csv").write_text(f"uuid\n{lines}", encoding="utf-8")
        self._start()

    def pull_the_plug(self) -> None:
        """Kill it where it stands, and start it again on the same address and journal. Raises as `start`."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self.restarts += 1
        self._start()

    def stop(self) -> None:
        """Stop it; no error if it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def issued(self) -> dict[str, Counter[str]]:
        """Return from its journal, for each uuid, the certificates (SHA-256, hex) it ever issued."""
        entries = json.loads(
            Programs().ownroot("registration", "export", "--data", str(self.place / "journal"), "--json")
        )
        found: dict[str, Counter[str]] = {}
        for entry in entries:
            if entry["decision"] in _ISSUED:
                found.setdefault(entry["uuid"], Counter())[entry["certificate-sha256"]] += 1
        return found

    def _start(self) -> None:
        data, log = self.place / "journal", self.place / "server.log"
        command = Programs().command("ownroot", "serve", "registration", "--pki-dir", str(self.pki))
        command += ["--data", str(data), "--listen", self._listen, "--allow-list", str(self.place / "boards.csv")]
        command += ["--requests-per-minute", "0", "--log-level", "warning"]
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        address = self._wait_until_ready(self._process, data / "serve-registration.json", log)
        self.url, self._listen = f"{address}/sign", address.removeprefix("http://")

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]", ready_file: Path, log: Path) -> str:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            ready = json.loads(ready_file.read_bytes()) if ready_file.exists() else {}
            if ready.get("pid") == process.pid:
                return str(ready["registration"])
            time.sleep(0.05)
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise UnavailableError("server-did-not-start", f"The registration server did not start:\n{tail}", retry_after=1)
