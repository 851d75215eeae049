"""What holds for all tests, whichever Python runs them."""

import importlib.util
import os
import signal

# A test that computes says nothing about time: hypothesis would fail one that takes more than 200 ms on a busy machine.
# CI tries the same examples each time, so that what it says is about the change; at a desk they are new ones.
if importlib.util.find_spec("hypothesis") is not None:  # the oldest environments have none
    from hypothesis import settings

    settings.register_profile("modelmill", deadline=None, derandomize=bool(os.environ.get("CI")))
    settings.load_profile("modelmill")

# A shell starts what runs in the background with Ctrl-C ignored, and a program that a test interrupts inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
