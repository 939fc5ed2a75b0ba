"""Fixtures and settings of all tests, including those of the plugins."""

import os
import signal

from hypothesis import settings

# Beside another process, such as a training run, OpenMP's threads wait busily for ten times as long as they work. torch reads this once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A job in the background of a script ignores SIGINT, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline a test case: the first one pays for imports.
settings.register_profile("zoo", deadline=None)
settings.load_profile("zoo")
