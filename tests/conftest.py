from __future__ import annotations

from hypothesis import settings

# How long an example takes says more about the host than about the code.
settings.register_profile("testbed", deadline=None, max_examples=50)
settings.load_profile("testbed")
