"""Measurements of the test bed itself; each module prints JSON: `python -m bench.NAME`."""
