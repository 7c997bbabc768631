"""pytest fixtures: `simulator`, `dom0` and `domu`, each test with a machine of its own, from a template.

Options are those of scenarios (`--platform`, g5 by default, `--kernel`, ...); a test that wants another machine says so
by a mark: `@pytest.mark.machine("pseries-970", cpus=2, debugger=True)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.live.api import Domain, DomU, Simulator

MARK = "machine"
DEFAULT = "g5"


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", f"{MARK}(platform, **options): the machine of `simulator`, `dom0` and `domu`")


@pytest.fixture
def simulator(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A machine; with a domU running if the test has the fixture `domu` too."""
    from harness import choosing  # noqa: PLC0415  (lazy: the plugin loads with every pytest)
    from harness.live.api import Simulator  # noqa: PLC0415

    given: dict[str, Any] = {key: value for key, value in choosing.given(request.config.getoption).items() if value}
    given.setdefault("platform", DEFAULT)
    given["cold"] = request.config.getoption("cold")
    if (mark := request.node.get_closest_marker(MARK)) is not None:
        given |= dict(zip(("platform",), mark.args, strict=False)) | mark.kwargs
    with Simulator.start(domu="domu" in request.fixturenames, **given) as found:
        yield found


@pytest.fixture
def dom0(simulator: Simulator) -> Domain:
    """The privileged domain of the test's machine."""
    return simulator.dom0


@pytest.fixture
def domu(simulator: Simulator) -> DomU:
    """A domU that runs and answers."""
    return simulator.domu
