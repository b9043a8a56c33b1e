"""ABC 2.1: our own parser and writer, and the notation that models read."""
