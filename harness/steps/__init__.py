"""The verbs of scenarios. Importing this package registers them all."""

from harness.steps import answering, devicetree, domains, identity, power

__all__ = ["answering", "devicetree", "domains", "identity", "power"]
