"""Switches with a value, as other clients of this protocol spell them."""

import click
import pytest

from ownroot.console.switches import SwitchCommand, at_most_one


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


def test_one_switch_of_several_is_named_and_two_are_refused() -> None:
    assert at_most_one({"--red": False, "--blue": True}) == "--blue"
    assert at_most_one({"--red": False, "--blue": False}) is None
    with pytest.raises(click.UsageError, match="Give --red or --blue, only one of them"):
        at_most_one({"--red": True, "--blue": True})
