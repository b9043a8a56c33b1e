"""A Score as tablature programs hold it: beats of written note values, in voices, in bars.

* :mod:`~cadenza.score.tab.page`: the nouns: what a page can hold, items, links, beats.
* :mod:`~cadenza.score.tab.arrange`: notes → beats. Written beats (:mod:`cadenza.score.written`) are kept bar by bar
  where they fit the notes; elsewhere the rhythm is worked out (:mod:`cadenza.score.rhythm`).
* :mod:`~cadenza.score.tab.graces`: grace notes, which take their time from a neighbour.
* :mod:`~cadenza.score.tab.effects`: what is written at beats, notes and tied notes, as marks.
* :mod:`~cadenza.score.tab.harmonics`: how far harmonics sound above their fret.
* :mod:`~cadenza.score.tab.fit`: the edits that come before: bars, tempos, strings.
"""
