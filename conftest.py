"""What all tests share, those of the plugins too."""

import os

from hypothesis import settings

# Beside another process, such as a training run, OpenMP's threads wait busily for ten times as long as they work. torch reads this once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# No deadline a test case: the first one pays for imports.
settings.register_profile("zoo", deadline=None)
settings.load_profile("zoo")
