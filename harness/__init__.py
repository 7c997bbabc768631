"""Scenarios become cells, cells become runs: model, steps, hypervisors, toolstacks, command line."""
