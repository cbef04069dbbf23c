"""Switches with a value, as other clients of this protocol spell them."""

import click
import pytest

from ownroot.console.switches import SwitchCommand


def _parse(*arguments: str) -> object:
    @click.command(cls=SwitchCommand)
    @click.option("--online-ca/--no-online-ca", default=True)
    @click.option("--name", default="")
    @click.argument("words", nargs=-1)
    def program(online_ca: bool, name: str, words: tuple[str, ...]) -> tuple[bool, str, tuple[str, ...]]:
        return online_ca, name, words

    return program.main(list(arguments), standalone_mode=False)


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("FALSE", False), ("0", False), ("t", True)])
def test_switch_takes_a_value(value: str, expected: bool) -> None:
    assert _parse(f"--online-ca={value}", "dir") == (expected, "", ("dir",))


def test_switch_does_not_eat_the_next_word() -> None:
    assert _parse("--online-ca", "false") == (True, "", ("false",))


def test_value_that_is_neither_is_refused() -> None:
    with pytest.raises(click.BadOptionUsage, match="true or false"):
        _parse("--online-ca=maybe")


def test_other_options_keep_their_values() -> None:
    assert _parse("--name=--online-ca=false", "a=b") == (True, "--online-ca=false", ("a=b",))
