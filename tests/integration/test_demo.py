"""`./run demo` tells nothing that does not happen, and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path


def test_demonstration_plays_to_its_end_and_cleans_up(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ownroot.sim.demo"],
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    for told in ("device-ca-unknown", "device-key-mismatch", "device-denied", "pump-2, valve-1"):
        assert told in done.stdout
    assert list(tmp_path.glob("ownroot-demo-*")) == []
    assert len(done.stdout.splitlines()) < 24
    processes = [Path(entry, "cmdline") for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    assert not [p for p in processes if p.exists() and str(tmp_path).encode() in p.read_bytes()]
