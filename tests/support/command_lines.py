"""Command lines of our programs as texts name them, held against the commands that exist."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from ownroot.cli.main import ownroot
from ownroot.device.main import device

PROGRAMS: dict[str, click.Command] = {"ownroot": ownroot, "ownroot-device": device}

_QUOTED = re.compile(r"`(ownroot(?:-device)?(?: [^`]*)?)`")
_OPTION = re.compile(r"-[A-Za-z]|--[a-z].*")  # others that begin with a dash are values
_EXAMPLE = re.compile(r"^\s*(?:\$ )?(ownroot(?:-device)? .*)$")


def named_in(path: Path) -> Iterator[str]:
    """Yield every command line a page or a module names: between backticks, or as a line of an example."""
    texts = list(_strings(path)) if path.suffix == ".py" else [path.read_text(encoding="utf-8")]
    for text in texts:
        yield from (" ".join(line.split()) for line in _QUOTED.findall(text))
        yield from _examples(text, everywhere=path.suffix == ".py")


def without_example() -> list[str]:
    """Return the commands whose help shows nothing that could be typed."""
    return [
        words
        for name, program in PROGRAMS.items()
        for words, command in (*_leaves(name, program), *_first_pages(name, program))
        if "Example" not in command.get_help(click.Context(command, info_name=words))
    ]


def _leaves(words: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield words, command
        return
    context = click.Context(command, info_name=words)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is not None:
            yield from _leaves(f"{words} {name}", found)


def _first_pages(name: str, program: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield the groups that somebody meets first, whose help is all they may read."""
    context = click.Context(program, info_name=name)
    assert isinstance(program, click.Group)
    for word in {"config", "devices", "factory", "targets"} & set(program.list_commands(context)):
        found = program.get_command(context, word)
        if found is not None:
            yield f"{name} {word}", found


def fault_of(line: str) -> str | None:
    """Say what is wrong with a command line; None if program, commands and options exist.

    A group may be named alone; arguments are not judged.
    """
    name, *words = shlex.split(re.split(r" [|>&] | # ", line)[0])
    command = PROGRAMS[name]
    known = _options(command)
    values = 0
    for word in words:
        if values:
            values -= 1
        elif _OPTION.fullmatch(word):
            if word.partition("=")[0] not in known:
                return f"{word} is no option of {command.name}"
            values = known.get(word, 0)
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return f"{word} is no command of {command.name}"
            command, known = found, known | _options(found)
    return None


def _options(command: click.Command) -> dict[str, int]:
    """Return the spelling of each option, with the number of values that follow it."""
    known = {"-h": 0, "--help": 0}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            values = 0 if parameter.is_flag or parameter.count else parameter.nargs
            known |= dict.fromkeys([*parameter.opts, *parameter.secondary_opts], values)
    return known


def _strings(module: Path) -> Iterator[str]:
    """Yield the texts of a module; what an f-string fills in reads as one word."""
    inside: set[int] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            yield "".join(part.value if isinstance(part, ast.Constant) else "VALUE" for part in node.values)  # type: ignore[misc]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def _examples(text: str, *, everywhere: bool) -> Iterator[str]:
    """Yield example lines: of a page those in fenced blocks, of a module those that stand indented for themselves."""
    blocks = [text] if everywhere else re.findall(r"```(?:sh|console|bash)?\n(.*?)```", text, flags=re.DOTALL)
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            if (match := _EXAMPLE.match(line)) and (not everywhere or line.startswith("  ")):
                yield match[1]
