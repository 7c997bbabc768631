"""From journal to store to matrix: what a run left behind, and what it says. Reads files, starts nothing."""
