"""Models that listen: a tower hears, a projector brings what it hears to a language model, which writes ABC (route B).

- :mod:`~cadenza.train.listening.towers`: what hears, by name (``cadenza.encoders``);
- :mod:`~cadenza.train.listening.audio_lm`: tower's features → projector → any causal language model;
- :mod:`~cadenza.train.listening.whole`: audio language models of transformers, as they are;
- :mod:`~cadenza.train.listening.rows`: clips → documents whose sound stands in for placeholder tokens;
- :mod:`~cadenza.train.listening.objectives` and :mod:`~cadenza.train.listening.trainers`: learning from answers (SFT)
  and from rewards (PPO, GRPO, DPO, rejection sampling), all of it conditioned on the sound.
"""
