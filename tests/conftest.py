"""What holds for every test: which inputs hypothesis tries, and where our own programs keep their files."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# On CI the same inputs every time: a red run must mean a change, and be repeatable. `dev` keeps looking for new ones.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "dev")


@pytest.fixture(autouse=True)
def _own_directories(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point every default directory into a temporary one, so that no test reads or writes the user's own files."""
    home: Path = tmp_path_factory.getbasetemp() / "home"
    for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(home / variable.lower()))
    for variable in [name for name in os.environ if name.startswith("OWNROOT_")]:
        monkeypatch.delenv(variable)
