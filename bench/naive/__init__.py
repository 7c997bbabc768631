"""A script that stands for those that many would write; it imports nothing of the test bed."""
