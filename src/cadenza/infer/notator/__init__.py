"""From a performance to a page: beats, metre, key, note values, hands, spelling, strings (:func:`notate`)."""

from cadenza.infer.notator.page import notate

__all__ = ["notate"]
