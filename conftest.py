"""Lets pytest collect the scenarios."""

pytest_plugins = ["harness.pytest_plugin"]
