"""The verbs of scenarios. Importing this package registers them all."""

from harness.steps import answering, domains, identity

__all__ = ["answering", "domains", "identity"]
