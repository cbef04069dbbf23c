"""Shell completion as a command: prints the script that the shell sources."""

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

_HOW_TO = {
    "bash": 'eval "$({program} completion bash)"      in ~/.bashrc',
    "zsh": 'eval "$({program} completion zsh)"       in ~/.zshrc',
    "fish": "{program} completion fish | source       in ~/.config/fish/config.fish",
}


class _Bash(BashComplete):
    """Bash without asking which bash is installed: the script may be made for another machine."""

    def source(self) -> str:
        return self.source_template % self.source_vars()


_SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": ZshComplete, "fish": FishComplete}


def completion_variable(program: str) -> str:
    """Return the environment variable by which the shell asks the program for completions."""
    return f"_{program.replace('-', '_').upper()}_COMPLETE"


def completion_command(program: str) -> click.Command:
    """Return the command `completion bash|zsh|fish` of a program."""

    examples = "\n".join(f"  {line.format(program=program)}" for line in _HOW_TO.values())

    @click.command("completion", epilog=f"\b\nExamples:\n{examples}")
    @click.argument("shell", type=click.Choice(list(_SHELLS)))
    @click.pass_context
    def completion(ctx: click.Context, shell: str) -> None:
        """Print the completion script for a shell."""
        script = _SHELLS[shell](ctx.find_root().command, {}, program, completion_variable(program))
        click.echo(script.source())

    return completion


def complete(command: click.Command, program: str, instruction: str) -> int:
    """Answer one question of the shell (`bash_complete` and the like); 0 when it was answered."""
    shell, _, kind = instruction.partition("_")
    if shell not in _SHELLS or kind not in ("source", "complete"):
        return 1
    answerer = _SHELLS[shell](command, {}, program, completion_variable(program))
    click.echo(answerer.source() if kind == "source" else answerer.complete())
    return 0
