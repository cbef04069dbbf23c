"""The settings file comes back as it was written, whatever stands in it."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from ownroot.cli.settings import Login, Settings, load_settings, save_settings, settings_path

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)
_LOGINS = st.builds(Login, url=_TEXT, token=_TEXT, cacert=st.none() | _TEXT)


@given(st.dictionaries(_TEXT, _LOGINS, min_size=1))
def test_settings_come_back_as_written(logins: dict[str, Login]) -> None:
    settings = Settings(next(iter(logins)), logins)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "deep" / "config.toml"
        save_settings(path, settings)
        assert load_settings(path) == settings


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
