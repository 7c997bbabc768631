"""Lets pytest collect the scenarios, and gives tests their machines."""

pytest_plugins = ["harness.pytest_plugin", "harness.live.fixtures"]
