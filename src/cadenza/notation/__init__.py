"""Score ↔ text that a language model reads. One notation, one file or folder; each declares what it loses."""

from cadenza.base.registry import Registry

NOTATIONS = Registry("cadenza.notations", "notation")
