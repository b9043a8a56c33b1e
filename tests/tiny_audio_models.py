"""Tiny audio language models of transformers' own classes with their own processors, saved to a folder: random weights.

Windows are 4 seconds, not 30; everything else (feature extractor, placeholders, merge of sound into text) is as in the
published ones. The template of Qwen2-Audio is its processor's own. That of the Flamingos lies with their weights alone,
so the one here is only of its form: ChatML, with ``<sound>`` before the words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

WINDOW_SECONDS = 4
N_MELS = 16
FLAMINGO_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for content in message['content'] %}{% if content['type'] == 'audio' %}<sound>"
    "{% else %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = {
    "qwen2_audio": ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"],
    "musicflamingo": ["<sound>", "<|sound_bos|>", "<|sound_eos|>"],
    "audioflamingo3": ["<sound>"],
}


def processor(kind: str) -> Any:
    """A processor of a kind, with a tokenizer of 600 words and the special tokens that it needs."""
    import transformers

    from tests import tiny_models

    words = tiny_models.tokenizer()
    words.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>", *SPECIAL[kind]]})
    words.pad_token = words.eos_token
    extract = transformers.WhisperFeatureExtractor(feature_size=N_MELS, chunk_length=WINDOW_SECONDS)
    if kind == "qwen2_audio":
        return transformers.Qwen2AudioProcessor(extract, words)
    name = {"musicflamingo": "MusicFlamingo", "audioflamingo3": "AudioFlamingo3"}[kind]
    return getattr(transformers, f"{name}Processor")(
        extract, words, chat_template=FLAMINGO_TEMPLATE, max_audio_len=3 * WINDOW_SECONDS
    )


def save(folder: Path, kind: str, seed: int = 0) -> Path:
    """A model of a kind: two layers that hear, two that read and write, and its processor."""
    import torch
    import transformers

    torch.manual_seed(seed)
    whole = processor(kind)
    n_words = len(whole.tokenizer) + 8
    text = transformers.Qwen2Config(
        vocab_size=n_words, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, initializer_range=0.1,
    )  # fmt: skip
    frames = {"num_mel_bins": N_MELS, "max_source_positions": 50 * WINDOW_SECONDS, "initializer_range": 0.1}
    sound_id = whole.tokenizer.convert_tokens_to_ids(whole.audio_token)
    if kind == "qwen2_audio":
        ears: Any = transformers.Qwen2AudioEncoderConfig(
            d_model=40, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64, **frames
        )
        config: Any = transformers.Qwen2AudioConfig(audio_config=ears, text_config=text, audio_token_index=sound_id)
        model: Any = transformers.Qwen2AudioForConditionalGeneration(config)
    else:
        ears = transformers.AudioFlamingo3EncoderConfig(
            hidden_size=40, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, **frames
        )
        more = {}
        if kind == "musicflamingo":
            ids = whole.tokenizer.convert_tokens_to_ids(SPECIAL[kind])
            more = {"audio_bos_token_id": ids[1], "audio_eos_token_id": ids[2]}
        name = {"musicflamingo": "MusicFlamingo", "audioflamingo3": "AudioFlamingo3"}[kind]
        config = getattr(transformers, f"{name}Config")(
            audio_config=ears, text_config=text, audio_token_id=sound_id, **more
        )
        model = getattr(transformers, f"{name}ForConditionalGeneration")(config)
    # Positions of the encoder are sinusoids in the published weights; random ones would drown what is heard.
    with torch.no_grad():
        model.model.audio_tower.embed_positions.weight.mul_(0.1)
    model.save_pretrained(folder)
    whole.save_pretrained(folder)
    return folder
