"""Players: a notation's automaton, narrowed to what instruments can play and to the bars that are asked for.

A player is a place in a text, as the automaton is. It offers fields within the bar at hand (:meth:`Player.allowed`) and
those that begin the next one (:meth:`Player.opening`), so that whoever draws needs no knowledge of the notation:
:mod:`cadenza.infer.script` writes with any of them, in tokens that are fields or in those of any text tokenizer.

Notes are known to a player as they are told, so that bars can be compared without reading texts: what a bar says is the
set of (onset in the bar, track, pitch) of its notes.
"""

from cadenza.infer.players.base import Player

__all__ = ["Player"]
