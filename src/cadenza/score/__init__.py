"""The noun: a piece of music as an immutable value."""
