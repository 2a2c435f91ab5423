"""Independent random streams from one seed."""

import hashlib

import torch


def stream_seed(seed: int, stream: str) -> int:
    """A 63-bit seed for a named stream; streams of one seed are unrelated, and none depends on another's use."""
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


def random_stream(seed: int, stream: str) -> torch.Generator:
    """A CPU random generator for a named stream."""
    return torch.Generator().manual_seed(stream_seed(seed, stream))
