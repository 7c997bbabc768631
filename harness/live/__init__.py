"""The developer's simulator: machines for people and their programs, where `testbed run` has them for scenarios."""
