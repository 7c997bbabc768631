"""What a domU asks of its hypervisor and what that does about it: traced, counted, timed, drawn."""
