"""The settings printed in docs/operating.md are the settings there are."""

import re
import tomllib

import msgspec

from ownroot.config import Options, SettingsFile, load_settings
from ownroot.services.authority import ROLE_SCOPES
from ownroot.services.scopes import Role
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1]


def test_the_example_is_the_default(tmp_path):
    file = tmp_path / "ownroot.toml"
    file.write_text(EXAMPLE)
    assert load_settings(tmp_path, file, Options()) == load_settings(tmp_path, None, Options())


def test_every_setting_is_shown_and_no_other():
    uncommented = re.sub(r"^# (\w+ = )", r"\1", EXAMPLE, flags=re.MULTILINE)
    shown = tomllib.loads(uncommented)
    assert set(shown) == {field.encode_name for field in msgspec.structs.fields(SettingsFile)}
    for part in ("api", "gateway", "keystore", "online_ca", "registration", "certificates", "log"):
        known = next(field for field in msgspec.structs.fields(SettingsFile) if field.name == part)
        assert set(shown[part]) == {field.encode_name for field in msgspec.structs.fields(known.type)}


def test_the_table_of_roles_is_the_one_in_force():
    row = re.search(r"^\| member \| (.*) \|$", PAGE, re.MULTILINE)[1]
    assert set(re.findall(r"`([^`]+)`", row)) == {scope.value for scope in ROLE_SCOPES[Role.MEMBER]}
