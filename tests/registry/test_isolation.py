"""Plugins that hang, end the process or leave threads at their import take nothing down but themselves."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo_core.errors import UsageError
from zoo_core.registry import isolation, load_plugin
from zoo_core.registry.isolation import PluginExit, PluginTimeout, isolated, plugin_timeout
from zoo_core.testing import environment, write_plugin

ZOO = (sys.executable, "-m", "zoo_core.cli")


def zoo(folder: Path, *args: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    env = {**environment(folder), "ZOO_PLUGIN_TIMEOUT": "0.5", **variables}
    return subprocess.run([*ZOO, *args], env=env, capture_output=True, text=True, check=False, timeout=120)


ENDS = {
    "an exit": ("import os; os._exit(0)", "tried to end the process with os._exit"),
    "an exit by another name": ("from os import _exit; _exit(0)", "tried to end the process with os._exit"),
    "an abort": ("import os; os.abort()", "tried to end the process with os.abort"),
    "another program": ("import os; os.execvp('true', ['true'])", "tried to end the process with os.execv"),
    "an exit that it hides": ("import os\ntry: os._exit(0)\nexcept Exception: pass", "tried to end the process with os._exit"),
    "a signal to itself": ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "tried to end the process with os.kill"),
    "a signal to its group": ("import os, signal; os.killpg(os.getpgrp(), signal.SIGTERM)", "tried to end the process with os.killpg"),
    "sleep": ("import time; time.sleep(3600)", "took longer than 0.5 s"),
    "work": ("while True: pass", "took longer than 0.5 s"),
    "work that it hides": ("import time\nwhile True:\n    try: time.sleep(9)\n    except Exception: pass", "took longer than 0.5 s"),
    "sleep without an alarm": ("import signal, time\nsignal.alarm(0)\ntime.sleep(3600)", "took longer than 0.5 s"),
    "sleep without a timer": ("import signal, time\nsignal.setitimer(signal.ITIMER_REAL, 0)\ntime.sleep(3600)", "took longer than 0.5 s"),
    "work that ignores the alarm": (
        "import signal\nfrom signal import signal as own\nown(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass",
        "took longer than 0.5 s",
    ),
    "work that blocks the alarm": (
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})\nwhile True: pass",
        "took longer than 0.5 s",
    ),
    "a lock": ("import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()", "took longer than 0.5 s"),
    "an error whose text ends the process": ("class Bad(Exception):\n    def __str__(self): raise SystemExit(3)\nraise Bad", "Bad"),
    "an error whose text hangs": ("class Bad(Exception):\n    def __str__(self):\n        while True: pass\nraise Bad", "Bad"),
    "a hook": ("import time, zoo_core\n@zoo_core.hookimpl\ndef zoo_specs(): time.sleep(3600)", "took longer than 0.5 s"),
}


@pytest.mark.parametrize("case", ENDS)
def test_a_plugin_that_hangs_or_ends_the_process_is_a_broken_plugin(case: str, tmp_path: Path) -> None:
    body, why = ENDS[case]
    done = zoo(write_plugin(tmp_path, "zoo-end", body), "plugins", ZOO_PLUGINS="zoo-end")
    assert "zoo-core" in done.stdout
    assert "zoo-end" in done.stdout
    assert why in " ".join(done.stdout.split())


def test_a_thread_of_a_plugin_does_not_keep_the_command_alive(tmp_path: Path) -> None:
    body = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), name='lasting').start()"
    done = zoo(write_plugin(tmp_path, "zoo-thread", body), "list", "samplers", ZOO_PLUGINS="zoo-thread")
    assert done.returncode == 0
    assert "dpmpp-2m" in done.stdout
    assert "plugin zoo_thread: it leaves a thread running: lasting" in done.stderr


def test_a_child_process_of_a_plugin_may_end_itself(tmp_path: Path) -> None:
    body = "import os\npid = os.fork()\nif not pid: os._exit(7)\nassert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7"
    done = zoo(write_plugin(tmp_path, "zoo-child", body), "plugins", ZOO_PLUGINS="zoo-child")
    assert "no function zoo_specs" in " ".join(done.stdout.split())


def test_a_busy_plugin_within_the_limit_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plugin(tmp_path, "zoo-slow", "import zoo_core\n@zoo_core.hookimpl\ndef zoo_specs(): return []")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ZOO_PLUGIN_TIMEOUT", "0")
    assert load_plugin("slow", "zoo_slow", "zoo-slow", "1").failure is None


def test_the_alarm_of_whoever_imports_the_zoo_still_goes_off() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with isolated("x", "x", 5.0):
            pass
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        signal.pause()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert rung == [signal.SIGALRM]


def test_a_plugin_may_set_other_signals_and_hears_that_it_may_not_set_the_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGALRM)
    usr1 = signal.getsignal(signal.SIGUSR1)
    functions = (signal.signal, signal.alarm, signal.setitimer, signal.pthread_sigmask)
    with isolated("x", "x", 5.0):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        assert signal.alarm(0) == 0
    assert "plugin x: it changes SIGALRM" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGALRM) is before
    assert (signal.signal, signal.alarm, signal.setitimer, signal.pthread_sigmask) == functions
    signal.signal(signal.SIGUSR1, usr1)


def test_the_functions_that_end_a_process_are_themselves_again_afterwards() -> None:
    import os

    before = {name: getattr(os, name) for name in isolation._EXITS}
    with pytest.raises(PluginExit), isolated("x", "x", 5.0):
        os._exit(3)
    with pytest.raises(PluginTimeout), isolated("x", "x", 0.05):
        time.sleep(5)
    assert {name: getattr(os, name) for name in isolation._EXITS} == before


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf"])
def test_a_time_limit_that_is_no_number_of_seconds_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_PLUGIN_TIMEOUT", value)
    with pytest.raises(UsageError, match=value):
        plugin_timeout()


def test_a_distribution_that_hides_another_is_told_with_its_folder(tmp_path: Path) -> None:
    body = "import zoo_core\n@zoo_core.hookimpl\ndef zoo_specs(): return []"
    first, second = write_plugin(tmp_path / "a", "zoo-twin", body), write_plugin(tmp_path / "b", "zoo_twin", body)
    env = environment(first)
    done = zoo(first, "plugins", ZOO_PLUGINS="zoo-twin", PYTHONPATH=f"{env['PYTHONPATH']}:{second}")
    assert f"zoo-twin is used from {first}, which hides {second}" in " ".join(done.stderr.split())
