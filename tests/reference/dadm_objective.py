"""The whole objective of DADM at one step as one would write it first: sample by sample, pair by pair.

Legend: M modalities, B batch, L tokens of which the first is the class token, C token width.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import torch
from dadm_twins import angular_loop
from torch import Tensor
from torch.nn import functional

from mmfas.models import MultiModalFAS
from mmfas.models.layers.mutual_mask import MutualMask
from mmfas.structures import LIVE, SPOOF


def gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def one_pair(mask: MutualMask, pair: int, a: Tensor, b: Tensor, grid: tuple[int, int]) -> Any:
    """Mask the tokens (n, L, C) of all samples that have both: two outputs (n, L, C), two info tokens (n, C)."""
    num, width = len(mask.streams) // 2, a.shape[-1]
    maps = [t[:, 1:].transpose(1, 2).unflatten(2, grid) for t in (a, b)]
    x = interaction = torch.cat(maps, dim=1)
    for number, (conv, norm) in enumerate(zip(mask.convs, mask.norms, strict=True)):
        kernel, bias = conv.weight.chunk(num)[pair], conv.bias.chunk(num)[pair]
        groups = 2 * width if number == 0 else 1
        x = functional.conv2d(x, kernel, bias, padding=kernel.shape[-1] // 2, groups=groups)
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
        scale, shift = (value.chunk(num)[pair][:, None, None] for value in (norm.weight, norm.bias))
        x = (x - mean) / (var + 1e-5).sqrt() * scale + shift
        x = torch.sigmoid(x) if number == 5 else torch.relu(x)
        interaction = x if number == 2 else interaction
    classes = torch.cat([a[:, 0], b[:, 0]], dim=1) @ mask.mix_prefix.weight[pair].t() + mask.mix_prefix.bias[pair]
    mixed = torch.cat([classes[:, None], interaction.flatten(2).transpose(1, 2)], dim=1).chunk(2, dim=2)
    outs, infos = [], []
    for side, own in enumerate((a, b)):
        masked = (x.chunk(2, dim=1)[side] * maps[side]).flatten(2).transpose(1, 2)
        tokens = torch.cat([own[:, :1], masked], dim=1)
        weight, bias = mask.out.weight[2 * pair + side], mask.out.bias[2 * pair + side]
        outs.append(torch.cat([tokens, mixed[side]], dim=2) @ weight.t() + bias)
        infos.append(tokens.mean(1))
    return outs, infos


def adapt(adapter: Any, m: int, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Run the adapter of modality m on the tokens (L, C) of one sample."""
    z = gelu(tokens @ adapter.down.weight[m].t() + adapter.down.bias[m].flatten())
    kernel = adapter.conv.weight[m]
    maps = z[1:].t().unflatten(1, grid)[None]
    plain = functional.conv2d(maps, kernel, padding=1)
    centre = functional.conv2d(maps, kernel.sum((2, 3), keepdim=True))
    patches = (plain - adapter.conv.theta * centre)[0].flatten(1).t()
    z = gelu(torch.cat([z[:1], patches]))
    return z @ adapter.up.weight[m].t() + adapter.up.bias[m].flatten()


def information(tokens: dict[int, tuple[Tensor, Tensor]], orders: Tensor) -> Tensor:
    """Compute `log mean exp T' - mean T` of info tokens by row of the batch, drawn in the given orders (2, n)."""
    rows = sorted(tokens)
    joint = torch.stack([(tokens[i][0] + tokens[i][1]) / 2 for i in rows])
    drawn = [(tokens[int(i)][0] + tokens[int(j)][1]) / 2 for i, j in orders.t()]
    return torch.stack(drawn).exp().mean().log() - joint.mean()


@dataclass
class Run:
    """Features (M, B, C), information and rows of every pair, level of sample i in modality m (m, i) by block."""

    features: Tensor
    mutual: list[Tensor]
    rows: dict[int, list[int]]
    levels: dict[tuple[int, int], list[Tensor]]


def run_blocks(model: MultiModalFAS, inputs: dict[str, Tensor], present: Tensor, orders: list[Tensor]) -> Run:
    """Run trunk and neck, pair by pair; what a stream gets is averaged sample by sample."""
    neck, grid = model.neck, (4, 4)
    streams = model.trunk.embed(torch.stack([inputs[m] for m in model.modalities]), present)
    num, batch = streams.shape[:2]
    pairs = list(combinations(range(num), 2))
    rows = {p: [i for i in range(batch) if present[i, a] and present[i, b]] for p, (a, b) in enumerate(pairs)}
    mutual = [torch.zeros((), dtype=streams.dtype)] * len(pairs)
    levels: dict[tuple[int, int], list[Tensor]] = {}
    for block, mask, adapter, drawn in zip(model.trunk.blocks, neck.masks, neck.adapters, orders, strict=True):
        y = block.attn(block.norm1(streams))
        gets: dict[tuple[int, int], list[Tensor]] = {}
        seen: dict[tuple[int, int], list[Tensor]] = {}
        for p, (a, b) in enumerate(pairs):
            if not rows[p]:
                continue
            outs, infos = one_pair(mask, p, y[a][rows[p]], y[b][rows[p]], grid)
            for number, i in enumerate(rows[p]):
                for side, m in enumerate((a, b)):
                    gets.setdefault((m, i), []).append(outs[side][number])
                    seen.setdefault((m, i), []).append(infos[side][number].mean())
            tokens = {i: (infos[0][number], infos[1][number]) for number, i in enumerate(rows[p])}
            mutual[p] = mutual[p] + information(tokens, drawn[:, p, : len(rows[p])])
        after_attention, added = streams + y, torch.zeros_like(streams)
        for m, i in product(range(num), range(batch)):
            added[m, i] = adapt(adapter, m, torch.stack(gets.get((m, i), [y[m, i]])).mean(0), grid)
            level = torch.stack(seen.get((m, i), [y[m, i].mean()])).mean()
            levels.setdefault((m, i), []).append(level.detach())
        streams = after_attention + block.mlp(block.norm2(after_attention)) + added
    return Run(model.trunk.readout(streams) * present.t()[..., None], mutual, rows, levels)


def modality_loss(model: MultiModalFAS, run: Run, m: int, *, kinds: list[int], present: Tensor) -> tuple[Any, Any]:
    """Compute SSP and information of modality m, and its confidence; kinds are the classes of the samples."""
    head, own, terms, trusts = model.head, run.features[m], [], []
    for i, kind in enumerate(kinds):
        if not present[i, m] or not head.seen[m, kind]:
            continue
        distances = [(own[i] - prototype).square().sum().sqrt() for prototype in head.prototypes[m]]
        near = [-distance for k, distance in enumerate(distances) if head.seen[m, k]]
        terms.append(torch.logsumexp(torch.stack(near), 0) + distances[kind])
        trusts.append(torch.stack(run.levels[m, i]).mean())
    loss = head.prototype_weight * torch.stack(terms).mean()
    pairs = enumerate(combinations(range(len(run.features)), 2))
    shared = [run.mutual[p] for p, pair in pairs if m in pair and run.rows[p]]
    if shared:
        loss = loss + model.neck.information.weight * torch.stack(shared).mean()
    return loss, torch.stack(trusts).mean()


def dadm_objective(
    model: MultiModalFAS,
    inputs: dict[str, Tensor],
    *,
    targets: Tensor,
    domains: Tensor,
    present: Tensor,
    orders: list[Tensor],
) -> dict[str, Any]:
    """Compute `cls`, `angular`, and of every modality its loss and its confidence, all scalar.

    Args:
        model: With `MutualMaskNeck` and `HyperplaneHead`, in training mode, without dropout.
        inputs: Modality -> images.
        targets: Labels (B,).
        domains: Numbers of the domains (B,).
        present: Boolean mask (B, M).
        orders: What was drawn for the mutual-information term of every block, (2, P, B).
    """
    head, run = model.head, run_blocks(model, inputs, present, orders)
    losses = []
    for i, label in enumerate(targets):
        joint = torch.cat([own[i] for own in run.features])
        logits = torch.stack([row @ joint for row in head.planes[domains[i]]])
        losses.append(torch.logsumexp(logits, 0) - logits[label])
    angular = angular_loop(run.features, targets, domains, present, {LIVE: 1.0, SPOOF: 0.85})
    found: dict[str, Any] = {'cls': torch.stack(losses).mean(), 'angular': head.angular_weight * angular}
    kinds = [0 if label == LIVE else 1 + int(number) for label, number in zip(targets, domains, strict=True)]
    for m, name in enumerate(model.modalities):
        loss, trust = modality_loss(model, run, m, kinds=kinds, present=present)
        found |= {name: loss, f'confidence_{name}': trust}
    return found
