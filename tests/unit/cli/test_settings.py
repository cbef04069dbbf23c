"""The settings file comes back as it was written, whatever stands in it."""

from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.cli.settings import Login, OAuthLogin, Settings, load_settings, save_settings, settings_path
from ownroot.errors import InvalidInputError

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)
_OAUTH = st.builds(
    OAuthLogin,
    url=_TEXT,
    client_id=_TEXT,
    client_secret=_TEXT,
    refresh_token=_TEXT,
    expires_at=st.none() | st.datetimes(timezones=st.just(UTC)),
)
_LOGINS = st.builds(Login, url=_TEXT, token=_TEXT, cacert=st.none() | _TEXT, oauth=st.none() | _OAUTH)


@given(st.dictionaries(_TEXT, _LOGINS, min_size=1))
def test_settings_come_back_as_written(logins: dict[str, Login]) -> None:
    settings = Settings(next(iter(logins)), logins)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "deep" / "config.toml"
        save_settings(path, settings)
        assert load_settings(path) == settings


@pytest.mark.parametrize("left_out", ["client-id", "client-secret", "refresh-token", "oauth-url", "zone", "time"])
def test_half_an_oauth_login_cannot_be_read(tmp_path: Path, left_out: str) -> None:
    members = {"url": "u", "token": "t", "oauth-url": "o", "client-id": "i", "client-secret": "s", "refresh-token": "r"}
    members["expires-at"] = {"zone": "2026-01-01T00:00:00", "time": "soon"}.get(left_out, "2026-01-01T00:00:00+00:00")
    members.pop(left_out, None)
    path = tmp_path / "config.toml"
    path.write_text("[factories.acme]\n" + "".join(f'{name} = "{text}"\n' for name, text in members.items()))
    with pytest.raises(InvalidInputError) as refused:
        load_settings(path)
    assert refused.value.code == "config-unreadable"


def test_missing_file_is_empty_settings(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none.toml") == Settings()


def test_last_login_is_the_default_and_another_follows_it() -> None:
    one, two = Login(url="https://a", token="a"), Login(url="https://b", token="b")
    both = Settings().with_login("one", one).with_login("two", two)
    assert both.default_factory == "two"
    assert both.without("two").default_factory == "one"
    assert both.without("one").default_factory == "two"
    assert both.without("one").without("two") == Settings()


def test_environment_names_another_file(tmp_path: Path) -> None:
    assert settings_path({"OWNROOT_CONFIG": str(tmp_path / "x")}) == tmp_path / "x"
    assert settings_path({}).name == "config.toml"
