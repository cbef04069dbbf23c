"""Runs a program: the one place where its errors become text and an exit code.

No traceback reaches a person unless they ask for one with `--debug`. With `--json` errors are JSON as well, on stderr,
so that stdout holds a result or nothing.
"""

import os
import sys
import traceback
from collections.abc import Mapping, Sequence

import click

from ownroot.console.exit_codes import ExitCode, exit_code_of
from ownroot.console.text import printable
from ownroot.errors import OwnrootError


def run(command: click.Command, program: str, arguments: Sequence[str] | None = None) -> int:
    """Run a program to its end and return its exit code; never raises.

    Args:
        program: its name, as people type it.
        arguments: without the program's name; the process's own by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    end = words.index("--") if "--" in words else len(words)
    as_json, debug = "--json" in words[:end], "--debug" in words[:end]
    words = [word for word in words[:end] if word != "--debug"] + words[end:]
    try:
        return _run(command, program, words)
    except OwnrootError as error:
        _trace(debug)
        _say_error(error, as_json=as_json)
        return exit_code_of(error)
    except click.ClickException as error:
        _say_usage(error, as_json=as_json)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort, EOFError):
        click.echo("\nInterrupted.", err=True)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001 - the edge of the process
        _trace(debug)
        _say_fault(error, program, as_json=as_json)
        return ExitCode.FAULT


def _run(command: click.Command, program: str, words: list[str]) -> int:
    from_shell = os.environ.get(f"_{program.replace('-', '_').upper()}_COMPLETE")
    if from_shell:
        from ownroot.console.completion import complete  # noqa: PLC0415

        return complete(command, program, from_shell)
    result = command.main(words, prog_name=program, standalone_mode=False)
    sys.stdout.flush()
    return result if isinstance(result, int) else ExitCode.OK


def _trace(debug: bool) -> None:
    if debug:
        traceback.print_exc()


def _say_error(error: OwnrootError, *, as_json: bool) -> None:
    from ownroot.console.advice import advice_for  # noqa: PLC0415

    advice = advice_for(error)
    if as_json:
        document = {"code": error.code, "message": error.detail, "fields": error.fields} | advice._asdict()
        _say_json(document, exit_code_of(error))
        return
    red = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    label = click.style("Error:", fg="red", bold=True) if red else "Error:"
    click.echo(f"{label} {printable(error.detail)}", err=True)
    for field, text in error.fields.items():
        click.echo(printable(f"  - {field}: {text}"), err=True)
    click.echo(f"What it means: {advice.meaning}", err=True)
    click.echo(f"What to do:    {advice.remedy}", err=True)
    click.echo(f"               (error code: {error.code})", err=True)


def _say_usage(error: click.ClickException, *, as_json: bool) -> None:
    if as_json:
        _say_json({"code": "usage", "message": error.format_message()}, ExitCode(error.exit_code))
    else:
        error.show(sys.stderr)


def _say_fault(error: Exception, program: str, *, as_json: bool) -> None:
    message = f"{program} failed in a way it should not: {type(error).__name__}: {error}"
    if as_json:
        _say_json({"code": "internal-error", "message": message}, ExitCode.FAULT)
        return
    click.echo(f"Error: {printable(message)}", err=True)
    click.echo("What it means: This is a fault of the program, not of yours.", err=True)
    click.echo("What to do:    Run it again with --debug and report what it prints.", err=True)


def _say_json(error: Mapping[str, object], code: ExitCode) -> None:
    import json  # noqa: PLC0415

    click.echo(json.dumps({"error": error, "exit-code": int(code)}), err=True)
