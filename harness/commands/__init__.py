"""The commands of `./testbed`, one module each with `main(argv) -> exit code`."""
