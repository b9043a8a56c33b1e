"""DadaGP tokens; see :mod:`cadenza.notation.dadagp.notation`."""

from cadenza.notation.dadagp.notation import DadaGP

__all__ = ["DadaGP"]
