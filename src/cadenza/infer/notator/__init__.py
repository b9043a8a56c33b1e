"""From a performance to a page: beats, metre, key, note values, hands, spelling, strings (:func:`notate`)."""

from cadenza.infer.notator.page import Notated, notate, notated

__all__ = ["Notated", "notate", "notated"]
