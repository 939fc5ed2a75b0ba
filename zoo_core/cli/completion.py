"""``zoo completion``: the script that makes a shell complete ``zoo``, printed or installed."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from zoo_core.cli.console import inert, say
from zoo_core.errors import UsageError

__all__ = ["VARIABLE", "completion"]

VARIABLE = "_ZOO_COMPLETE"
"""The environment variable in which the script says that a shell asks for completions."""

_SHELLS = ("bash", "zsh", "fish")
_MARK = "# zoo completion"
# compdef is there once compinit has run, which not every .zshrc does.
_COMPINIT = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n"


@click.command()
@click.argument("shell", required=False, type=click.Choice(_SHELLS), metavar="[bash|zsh|fish]")
@click.option("--install", "action", flag_value="install", help="Switch it on in every new shell.")
@click.option("--remove", "action", flag_value="remove", help="Take out what --install wrote.")
def completion(shell: str | None, action: str | None) -> None:
    """Complete commands, options, checkpoints, samplers and classes by TAB.

    The shell is that of $SHELL unless it is named. Without an option, its script is printed.

    --install writes the script to a file of its own, and for bash and zsh a line that reads it to the end of ~/.bashrc (macOS:
    ~/.bash_profile) or ~/.zshrc.

    \b
    Examples:
      zoo completion --install
      zoo completion zsh --install
      eval "$(zoo completion bash)"       in this shell alone
    """
    chosen = shell or _current_shell()
    if action == "install":
        _install(chosen)
    elif action == "remove":
        _remove(chosen)
    else:
        click.echo(_script(chosen))


def _current_shell() -> str:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in _SHELLS:
        problem = f"there is no completion for the shell {name[:40]!r}" if name else "$SHELL does not say which shell this is"
        raise UsageError(problem, f"name one of {', '.join(_SHELLS)}, such as zoo completion bash --install")
    return name


def _script(shell: str) -> str:
    from click.shell_completion import get_completion_class

    make = get_completion_class(shell)
    assert make is not None
    program = click.get_current_context().find_root().command
    return (_COMPINIT if shell == "zsh" else "") + make(program, {}, "zoo", VARIABLE).source()


def _folder(variable: str, default: str) -> Path:
    """The folder of an XDG variable, which counts if it is absolute; otherwise ``default`` in the home folder."""
    value = os.environ.get(variable, "")
    return Path(value) if os.path.isabs(value) else Path.home() / default


def _script_path(shell: str) -> Path:
    if shell == "fish":  # which reads this folder by itself
        return _folder("XDG_CONFIG_HOME", ".config") / "fish" / "completions" / "zoo.fish"
    return _folder("XDG_DATA_HOME", ".local/share") / "zoo" / f"completion.{shell}"


def _startup_path(shell: str) -> Path | None:
    """The file that a new shell runs, to which a line is added; None where no line is needed."""
    if shell == "fish":
        return None
    if shell == "zsh":
        return _folder("ZDOTDIR", "") / ".zshrc"
    return Path.home() / (".bash_profile" if sys.platform == "darwin" else ".bashrc")


def _install(shell: str) -> None:
    from shlex import quote

    script, startup = _script_path(shell), _startup_path(shell)
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(_script(shell))
    if startup is None:
        click.echo(inert(f"{script}: {shell} completes zoo from the next shell on"))
        return
    line = f"[ ! -r {quote(str(script))} ] || . {quote(str(script))}  {_MARK}"
    _rewrite(startup, lambda lines: [*lines, line])
    click.echo(inert(f"{script}, and a line in {startup}: {shell} completes zoo from the next shell on"))


def _remove(shell: str) -> None:
    script, startup = _script_path(shell), _startup_path(shell)
    changed = _rewrite(startup, lambda lines: lines) if startup and startup.exists() else False
    if not script.exists() and not changed:
        say(f"zoo: no completion of {shell} is installed")
        return
    script.unlink(missing_ok=True)
    click.echo(inert(f"{shell} does not complete zoo any more, from the next shell on"))


def _rewrite(path: Path, change: Callable[[list[str]], list[str]]) -> bool:
    """Applies ``change`` to the lines of a file without those of zoo; in place, as it may be a link. Whether anything changed."""
    before = path.read_text() if path.exists() else ""
    lines = [line for line in before.splitlines() if not line.endswith(_MARK)]
    after = "".join(f"{line}\n" for line in change(lines))
    if after == before:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(after)
    return True
