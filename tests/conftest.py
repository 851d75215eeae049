"""What holds for all tests, whichever Python runs them."""

import importlib.util

# A test that computes says nothing about time: hypothesis would fail one that takes more than 200 ms on a busy machine.
if importlib.util.find_spec("hypothesis") is not None:  # the oldest environments have none
    from hypothesis import settings

    settings.register_profile("modelmill", deadline=None)
    settings.load_profile("modelmill")
