"""A checkpoint that runs a program when a careless loader opens it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


class Payload:
    """Unpickling this runs `touch FILE`."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f'touch {self.proof}',)


class GetattrPayload(Payload):
    """The same by way of `getattr`, which a loader that allows `getattr` lets through."""

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.proof, 'touch')


class Call:
    """Unpickling this calls a function with arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def write_malicious(path: Path, proof: Path, kind: type[Payload] = Payload) -> Path:
    """Write a checkpoint with a payload in every place a loader looks."""
    content = dict(
        state_dict=dict(weight=torch.zeros(2)), meta=kind(proof), message_hub={}, optimizer={}, param_schedulers=[]
    )
    torch.save(content, path)
    return path


def proves_itself(path: Path, proof: Path) -> bool:
    """Tell whether the payload works at all, so that a test of its refusal says something."""
    torch.load(path, weights_only=False)
    worked = proof.exists()
    proof.unlink(missing_ok=True)
    return worked
