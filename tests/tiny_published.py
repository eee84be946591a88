"""Checkpoint folders in the published format: tiny networks of every kind that write words and full stops at random."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from model.backbones import published
from model.backbones.dit import DiTConfig
from model.evaluation.engine_speed import random_network
from model.tokenizer import PlainTokenizer
from model.training.systems.choice import shaped
from model.training.vocabulary import train_vocabulary
from tests.training_tiny import text

WINDOW = 96
FULL_STOP = "."


def write_checkpoint(folder: Path, system: str = "bd3lm", block_size: int = 8, window: int = WINDOW) -> Path:
    """A folder with config.json, model.safetensors and tokenizer.json. system: bd3lm, mdlm, sedd or ar."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = train_vocabulary([f"{text(9, seed)}. " for seed in range(200)], 300)
    vocabulary.save(folder)
    small = DiTConfig(
        vocab_size=vocabulary.size,
        hidden_dim=32,
        n_blocks=2,
        n_heads=2,
        cond_dim=16,
        model_length=window,
        block_size=block_size,
    )
    network = random_network(shaped(replace(small, dropout=0.0), system))
    tokenizer = PlainTokenizer(folder / "tokenizer.json")
    for token in range(tokenizer.size):
        piece = tokenizer.piece(token)
        if piece == FULL_STOP or (piece[:1] == " " and piece[1:].isalpha()):
            network.output_layer.linear.bias[token] += 8.0
    published.save(folder, network)
    return folder
