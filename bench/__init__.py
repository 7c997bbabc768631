"""Benchmarks of the test bed: how warm compares with cold, with bare QEMU and with a naive script; what it costs."""
