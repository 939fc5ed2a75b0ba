"""The click group behind ``zoo``: commands are imported when they run, and every failure becomes one line and an exit code."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, NoReturn

import click
from click.shell_completion import shell_complete

from zoo_core import __version__
from zoo_core.atomic import next_step
from zoo_core.cli.completion import VARIABLE
from zoo_core.cli.console import MAX_LINE, error_line, inert, redact, say, shown
from zoo_core.cli.hints import COMMANDS, argument_hint, option_hint
from zoo_core.errors import Interrupted, LostProcess, PluginLoadError, ResourceError, UsageError, ZooError
from zoo_core.registry import registry, resolve
from zoo_core.registry.faults import plugin_error_from
from zoo_core.registry.isolation import stray_threads
from zoo_core.specs import CommandSpec

__all__ = ["main", "zoo"]

# The target of each command, and its line in `zoo --help`.
_BUILT_IN = {
    "list": ("zoo_core.cli.list:list_", "List the installed checkpoints, families, samplers, ..."),
    "search": ("zoo_core.cli.search:search_", "Search the names and descriptions of all that is installed."),
    "show": ("zoo_core.cli.show:show", "Show a checkpoint: model, data, licence, numbers, card."),
    "pull": ("zoo_core.cli.pull:pull", "Fetch checkpoints and verify every file."),
    "lock": ("zoo_core.cli.lock:lock", "Note commits, files and packages of checkpoints in a lock file."),
    "verify": ("zoo_core.cli.verify:verify", "Check installed files against their recorded sha256."),
    "sample": ("zoo_core.cli.sample:sample", "Draw images, points or texts from a checkpoint."),
    "data": ("zoo_core.cli.data:data", "Describe a data set: samples, classes, digest, a sheet."),
    "evaluate": ("zoo_core.cli.evaluate:evaluate", "Measure samples against real ones."),
    "levels": ("zoo_core.cli.levels:levels", "Find the noise levels at which few steps come near to many."),
    "study": ("zoo_core.cli.study:study", "Write a page on which people say: real or drawn?"),
    "tally": ("zoo_core.cli.tally:tally", "Count the answers of people to a study."),
    "compare": ("zoo_core.cli.compare:compare", "Compare the metrics of checkpoints side by side."),
    "figure": ("zoo_core.cli.figure:figure", "Plot a checkpoint's sampling process, latents, density, metrics or loss."),
    "ui": ("zoo_core.cli.ui:ui", "Serve a web page to browse, draw and compare."),
    "train": ("zoo_core.cli.train:train", "Train a model, or resume a run."),
    "publish": ("zoo_core.cli.publish:publish", "Upload a checkpoint to the Hugging Face Hub, in one commit."),
    "export": ("zoo_core.cli.export:export", "Write a checkpoint as ONNX, as torch.export, or in half precision."),
    "keys": ("zoo_core.cli.keys:keys", "Make keys, and list those that sign a plugin's checkpoints."),
    "pin": ("zoo_core.cli.pin:pin", "Render a plugin's model cards, and pin its checkpoints' files."),
    "doctor": ("zoo_core.cli.doctor:doctor", "Show where everything comes from, and what is wrong."),
    "plugins": ("zoo_core.cli.plugins:plugins", "List the installed plugins, and check them."),
    "new-plugin": ("zoo_core.cli.new_plugin:new_plugin", "Write a plugin of your own that works at once."),
    "completion": ("zoo_core.cli.completion:completion", "Make the shell complete commands and names by TAB."),
}

EXAMPLES = """\b
Examples:
  zoo list                installed checkpoints
  zoo show ddpm-afhq-cat  its model, data and numbers
  zoo sample ddpm-afhq-cat -n 16 --out cats.png
  zoo sample --help       all options of a command"""


class _Group(click.Group):
    """Commands by name: first the built-in ones, which no plugin can replace, then those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_BUILT_IN, *(name for name in registry().claims(CommandSpec) if name not in _BUILT_IN)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _BUILT_IN and cmd_name not in self.list_commands(ctx):
            return None
        target = _BUILT_IN[cmd_name][0] if cmd_name in _BUILT_IN else registry().spec(CommandSpec, cmd_name).target
        command = resolve(target)
        if not isinstance(command, click.Command):
            raise PluginLoadError(f"{target} is not a click command", "`zoo plugins --check` shows what is broken")
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        command = self.get_command(ctx, args[0])
        if command is None:
            if args[0] in COMMANDS:
                raise UsageError(f"unknown command {args[0]!r}", COMMANDS[args[0]])
            unknown = registry().unknown_name("command", args[0], self.list_commands(ctx))
            raise UsageError(unknown.what, unknown.hint)
        return args[0], command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _BUILT_IN.items()])
        added = [(name, claims) for name, claims in registry().claims(CommandSpec).items() if name not in _BUILT_IN]
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, inert(claims[0].spec.summary or claims[0].plugin.dist)) for name, claims in added])


def _no_plugins(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        os.environ["ZOO_PLUGINS"] = ""


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Inside a ``with`` block, a warning is a line on stderr without its place in the source."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say(f"zoo: warning: {inert(str(message))}")
        yield


@click.group(cls=_Group, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXAMPLES)
@click.option("--debug", is_flag=True, help="Show the traceback of an error; stands before or after the command.")
@click.option("--frozen", is_flag=True, help="Load only what zoo.lock has; stands before or after the command.")
@click.option(
    "--no-plugins", is_flag=True, is_eager=True, expose_value=False, callback=_no_plugins, help="Load zoo-core's own plugin alone."
)
@click.version_option(__version__, "--version", prog_name="zoo-core", message="%(prog)s %(version)s")
@click.pass_context
def zoo(ctx: click.Context, debug: bool, frozen: bool) -> None:
    """A registry of deep generative models."""
    ctx.with_resource(_warnings_as_lines())
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        return
    try:
        os.getcwd()
    except OSError:
        raise ResourceError("the current folder is gone", "cd to one that exists") from None


class _Terminated(BaseException):
    """SIGTERM, raised in the main thread, so that half-written files are removed on the way out."""


def _on_sigterm(signum: int, frame: Any) -> None:
    raise _Terminated


def _run(args: list[str]) -> int:
    with zoo.make_context("zoo", args) as ctx:
        zoo.invoke(ctx)
    sys.stdout.flush()
    return 0


def _outcome(error: BaseException) -> tuple[int, str]:
    """The exit code of an exception, and its line."""
    match error:
        case click.exceptions.Exit():
            return error.exit_code, ""
        case Interrupted():  # asked for by the user, so not an error
            return error.exit_code, error_line(error.what, error.hint, "zoo: ")
        case ZooError():
            return error.exit_code, error_line(error.what, error.hint)
        case click.NoSuchOption() if hint := option_hint(error):
            return UsageError.exit_code, error_line(f"no such option: {error.option_name}", hint)
        case click.MissingParameter() if hint := argument_hint(error):
            return UsageError.exit_code, error_line(error.format_message().rstrip("."), hint)
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "zoo"
            return UsageError.exit_code, error_line(error.format_message().rstrip("."), f"see `{command} --help`")
        case click.ClickException():
            return UsageError.exit_code, error_line(error.format_message())
        case KeyboardInterrupt() | click.Abort() | EOFError():
            return 130, error_line("interrupted", prefix="zoo: ")
        case _Terminated():
            return 143, error_line("terminated", prefix="zoo: ")
        case BrokenPipeError():
            return 141, ""
        case OSError():
            where = f" {error.filename}" if error.filename else ""
            return 8, error_line(f"{error.strerror or error}{where}", next_step(error))
        case MemoryError():
            return 8, error_line("out of memory", "try a smaller -n or --batch-size")
        case RuntimeError() if "can't allocate memory" in str(error):  # torch's, on the CPU
            return 8, error_line("out of memory", "try a smaller -n or --batch-size")
    if lost := LostProcess.cause_of(error):
        return lost.exit_code, error_line(lost.what, lost.hint)
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
        return 8, error_line("out of memory on the device", "try a smaller --batch-size")
    if blamed := plugin_error_from(error):
        return blamed.exit_code, error_line(blamed.what, blamed.hint)
    return 1, error_line(f"a bug: {type(error).__name__}: {error}", "run it again with --debug, and report what that prints")


def _is_said(line: str, code: int) -> bool:
    """Whether another process of a launcher has said the line, or the reason why this one ends."""
    if os.environ.get("WORLD_SIZE", "1") == "1" or "zoo_core.distributed" not in sys.modules:
        return False
    from zoo_core.distributed import Processes

    return Processes.is_said(line, if_any=code == LostProcess.exit_code)


def _strict_cause(error: BaseException) -> BaseException | None:
    """The exception of a plugin that could not be loaded, if ZOO_STRICT asks for it."""
    return error.__cause__ if os.environ.get("ZOO_STRICT") == "1" and isinstance(error, PluginLoadError) else None


def _traceback(error: BaseException) -> str:
    from traceback import format_exception

    return "\n".join(map(inert, redact("".join(format_exception(error))).splitlines()))


def _without_flags(args: Sequence[str], *flags: str) -> tuple[list[str], set[str]]:
    """The arguments without flags that stand anywhere before ``--``, and those flags that were there."""
    end = args.index("--") if "--" in args else len(args)
    return [*(arg for arg in args[:end] if arg not in flags), *args[end:]], set(flags) & set(args[:end])


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs ``zoo`` with the arguments of the process, or ``argv``, and exits."""
    import signal

    args, flags = _without_flags(sys.argv[1:] if argv is None else argv, "--debug", "--frozen")
    if "--frozen" in flags and not os.environ.get("ZOO_FROZEN"):
        os.environ["ZOO_FROZEN"] = "1"  # read wherever a checkpoint is fetched, in processes that this one starts too
    # OpenMP's threads wait by spinning, unless this variable is set before torch is imported: on a machine where other jobs run, the thread
    # that does not get a core holds up all others, and sampling takes thirty times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, _on_sigterm)
    # The shell may have closed them; these stay open until the end.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # so that a terminal that is not UTF-8 shows escapes instead of failing
            stream.reconfigure(errors="backslashreplace")
    try:
        instruction = os.environ.get(VARIABLE)  # bash_source, zsh_complete, ...: from a shell's completion
        code = shell_complete(zoo, {}, "zoo", VARIABLE, instruction) if instruction else _run(args)
    except BaseException as error:
        code, line = _outcome(error)
        if (os.environ.get(VARIABLE) or "").endswith("_complete"):  # lines would stand in the middle of what the user types
            sys.exit(code)
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if "--debug" in flags and not isinstance(error, click.exceptions.Exit):
            say(_traceback(error))
        elif cause := _strict_cause(error):
            say(error_line(str(error.args[0]), prefix="zoo: ") + "\n" + _traceback(cause))
        for note in getattr(error, "__notes__", ()) if isinstance(error, ZooError) else ():
            say(shown(note, MAX_LINE))
        if line and not _is_said(line, code):
            say(line)
    if stray_threads():
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """Ends the process without waiting for threads that a plugin left running."""
    import atexit

    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(code)
