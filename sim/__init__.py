"""The simulated machine: platforms, the QEMU process, QMP, consoles. Knows no hypervisor."""
