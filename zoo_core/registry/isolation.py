"""Isolation of plugin code during its import: output, warnings, signals, exits, hangs and threads.

A crash of native code cannot be caught from within the process.
"""

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import Any, cast

from zoo_core.errors import UsageError

__all__ = [
    "PLUGIN_TIMEOUT",
    "PluginExit",
    "PluginTimeout",
    "error_line",
    "isolated",
    "plugin_timeout",
    "record_signals",
    "stdout_on_stderr",
    "stray_threads",
]

PLUGIN_TIMEOUT = 15.0
"""Seconds that a plugin may take to be imported and to return its specs, by default."""

_WORDS = 1.0  # seconds for the text of an error
_EXITS = ("_exit", "abort", "execv", "execve", "kill", "killpg")
_stray: list[threading.Thread] = []


class PluginTimeout(BaseException):
    """A plugin took too long. ``except Exception`` in the plugin does not catch it.

    >>> issubclass(PluginTimeout, Exception)
    False
    """


class PluginExit(BaseException):
    """A plugin tried to end the process.

    >>> issubclass(PluginExit, Exception)
    False
    """


@contextmanager
def isolated(name: str, module: str, seconds: float) -> Iterator[None]:
    """Isolates the import and the hook of a plugin in a ``with`` block.

    Inside, stdout goes to stderr, a warning is one line with the plugin's name, an attempt to end the process raises :class:`PluginExit`,
    and :class:`PluginTimeout` is raised at the time limit. A thread that stays alive causes a warning and appears in
    :func:`stray_threads`.

    Args:
        name: name of the plugin.
        module: module to import; zoo-core's own modules are trusted.
        seconds: time limit; 0 for none.
    """
    if module.partition(".")[0] == "zoo_core":
        yield
        return
    before = set(threading.enumerate())
    try:
        with ExitStack() as stack:
            for context in (
                _warnings_in_a_line(name),
                stdout_on_stderr(module),
                _no_exits(),
                _time_limit(seconds),
                _own_alarm(name, seconds),
            ):
                stack.enter_context(context)
            yield
    finally:
        for thread in set(threading.enumerate()) - before:
            if thread.is_alive() and not thread.daemon:
                _stray.append(thread)
                _warn(name, f"it leaves a thread running: {thread.name}")


def stray_threads() -> tuple[threading.Thread, ...]:
    """Returns the live threads of plugins, for which Python would wait at exit."""
    return tuple(thread for thread in _stray if thread.is_alive())


def plugin_timeout() -> float:
    """Returns the time limit of a plugin in seconds, from ``ZOO_PLUGIN_TIMEOUT``; 0 for no limit.

    Raises:
        UsageError: if the variable is not a number of seconds.
    """
    text = os.environ.get("ZOO_PLUGIN_TIMEOUT", "")
    try:
        seconds = float(text) if text else PLUGIN_TIMEOUT
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < 1e6:
        raise UsageError(f"ZOO_PLUGIN_TIMEOUT is {text!r:.40}, which is not a number of seconds", "set it to 15, or unset it")
    return seconds


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raises PluginTimeout in the block after some seconds, and again every second; only in the main thread, which handles signals."""
    if threading.current_thread() is not threading.main_thread() or not seconds:
        yield
        return

    def expire(number: int, frame: Any) -> None:
        raise PluginTimeout(f"it took longer than {seconds:g} s; ZOO_PLUGIN_TIMEOUT changes that")

    started, handler = time.monotonic(), signal.signal(signal.SIGALRM, expire)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # the timer of the importing program continues
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 1e-3), interval)


@contextmanager
def _own_alarm(name: str, seconds: float) -> Iterator[None]:
    """Keeps the alarm of :func:`_time_limit`: what a plugin does to SIGALRM and its timer has no effect, and causes a warning."""
    if threading.current_thread() is not threading.main_thread() or not seconds:
        yield
        return
    active = True

    def guarded(real: Callable[..., Any], concerns: Callable[..., bool], result: Any) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            if active and concerns(*args):
                _warn(name, "it changes SIGALRM or its timer while it is imported, which has no effect")
                return result
            return real(*args)

        return call

    handler = signal.getsignal(signal.SIGALRM)
    replacements = {
        "signal": guarded(signal.signal, lambda number, *rest: number == signal.SIGALRM, handler),
        "alarm": guarded(signal.alarm, lambda *args: True, 0),
        "setitimer": guarded(signal.setitimer, lambda which, *rest: which == signal.ITIMER_REAL, (0.0, 0.0)),
        "pthread_sigmask": guarded(signal.pthread_sigmask, lambda how, mask: signal.SIGALRM in mask, set()),
    }
    real = {function: getattr(signal, function) for function in replacements}
    try:
        for function, replacement in replacements.items():
            setattr(signal, function, replacement)
        yield
    finally:
        active = False
        for function, original in real.items():
            setattr(signal, function, original)


@contextmanager
def _no_exits() -> Iterator[None]:
    """Makes ``os._exit``, ``os.abort``, ``os.exec*`` and ``os.kill`` of this process raise PluginExit; a forked child may exit."""
    process, active = os.getpid(), True

    def guarded(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def leave(*args: Any) -> Any:
            # Signal 0 only checks that a process exists; SIGINT stops the zoo as Ctrl-C does.
            others = name in ("kill", "killpg") and (args[0] not in (process, os.getpgrp(), 0, -1) or args[1] in (0, signal.SIGINT))
            if active and os.getpid() == process and not others:
                raise PluginExit(f"it tried to end the process with os.{name}")
            return real(*args)

        return leave

    real = {name: getattr(os, name) for name in _EXITS}
    try:
        for name, function in real.items():
            setattr(os, name, guarded(name, function))
        yield
    finally:
        active = False
        for name, function in real.items():
            setattr(os, name, function)


@contextmanager
def stdout_on_stderr(module: str) -> Iterator[None]:
    """Redirects a module's stdout to stderr, including the output of its C code and child processes."""
    with redirect_stdout(sys.stderr):
        saved = None if module.partition(".")[0] == "zoo_core" else _duplicate(1)
        try:
            if saved is not None:
                os.dup2(2 if _is_open(2) else os.open(os.devnull, os.O_WRONLY), 1)
            yield
        finally:
            if saved is not None:
                os.dup2(saved, 1)
                os.close(saved)


def _duplicate(handle: int) -> int | None:
    try:
        return os.dup(handle)
    except OSError:  # the shell has closed it
        return None


def _is_open(handle: int) -> bool:
    try:
        os.fstat(handle)
    except OSError:
        return False
    return True


@contextmanager
def record_signals() -> Iterator[list[int]]:
    """Records each SIGINT and SIGTERM in the block and passes it on to its handler.

    A KeyboardInterrupt without a recorded signal was raised by the plugin itself.
    """
    arrived: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in ((signal.SIGINT, signal.SIGTERM) if main else ())}

    def note(number: int, frame: Any) -> None:
        arrived.append(number)
        handler = handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    try:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, note)
        yield arrived
    finally:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, handler)


@contextmanager
def _warnings_in_a_line(name: str) -> Iterator[None]:
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield
    finally:
        for warning in caught:
            _warn(name, error_line(cast(Warning, warning.message)))


def _warn(name: str, text: str) -> None:
    if sys.stderr:
        sys.stderr.write(f"zoo: warning: plugin {name}: {text}\n")


def error_line(error: BaseException) -> str:
    """Returns an exception's class and text in one line; only the class if the text takes longer than a second.

    For an ImportError of a moved module of zoo_core, the line names the new module.

    >>> error_line(ValueError("two\\nlines"))
    'ValueError: two lines'
    """
    try:
        with _time_limit(_WORDS):
            text = " ".join(str(error).split())
    except (Exception, SystemExit, PluginExit, PluginTimeout):  # a plugin's own error class may be broken too
        text = ""
    if isinstance(error, ImportError) and "zoo_core." in text:
        from zoo_core.registry.moved import new_home

        text += f" (it is {home} now)" if (home := new_home(text)) else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
