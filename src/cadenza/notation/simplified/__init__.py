"""Simplified MIDI: one word a note (p57:v95:d960:t0), in the published profile and in cadenza's own."""

from cadenza.notation.simplified.notation import SimplifiedMidi

__all__ = ["SimplifiedMidi"]
