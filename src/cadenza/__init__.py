"""cadenza teaches language models music.

A file becomes a :class:`~cadenza.score.model.Score` (``formats``), a Score becomes text (``notation``), many
texts become examples (``corpus``), a ``model`` is ``train``-ed on them, ``infer`` makes new text, which becomes
a Score again, is measured (``metrics``) and written to a file.
"""

__version__ = "0.1.0"
