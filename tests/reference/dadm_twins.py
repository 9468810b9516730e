"""DADM as one would write it first: one mask after the other, all pairs of samples in loops.

Run as a script it times the masks of one block of ViT-B/16 beside the loop:

    python tests/reference/dadm_twins.py --batch-size 8

With `--minimal-filtering` it times the convolutions of 3 x 3 beside Winograd's F(2 x 2, 3 x 3), kernels
transformed beforehand: 16 products for every four outputs in place of 36.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.analysis.speed import time_side_by_side
from mmfas.models.layers.mutual_mask import MutualMask


class OneMask(nn.Module):
    """The masks of a single pair, with a linear layer on whatever the masked tokens are."""

    def __init__(self, stacked: MutualMask, pair: int, width: int) -> None:
        super().__init__()
        num = len(stacked.streams) // 2

        def part(value: Tensor) -> Tensor:
            return value.detach().chunk(num)[pair].clone()

        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for conv, norm in zip(stacked.convs, stacked.norms, strict=True):
            weight = part(conv.weight)
            one = nn.Conv2d(
                conv.in_channels // num, weight.shape[0], weight.shape[2:], padding=conv.padding,
                groups=max(conv.groups // num, 1),
            )  # fmt: skip
            one.load_state_dict(dict(weight=weight, bias=part(conv.bias)))
            self.convs.append(one)
            self.norms.append(nn.BatchNorm2d(weight.shape[0]))
            state = {k: v if k == 'num_batches_tracked' else part(v) for k, v in norm.state_dict().items()}
            self.norms[-1].load_state_dict(state)
        self.mix = (part(stacked.mix_prefix.weight)[0], part(stacked.mix_prefix.bias)[0])
        self.outs = [
            (stacked.out.weight[2 * pair + s].detach(), stacked.out.bias[2 * pair + s].detach()) for s in (0, 1)
        ]
        self.width = width

    def forward(self, a: Tensor, b: Tensor, grid: tuple[int, int]) -> tuple[list[Tensor], list[Tensor]]:
        """Return what both modalities (B, L, C) become, and their info tokens (B, C)."""
        both = [x[:, 1:].transpose(1, 2).unflatten(2, grid) for x in (a, b)]
        x = torch.cat(both, dim=1)
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(x))
            x = torch.sigmoid(x) if number == 5 else torch.relu(x)
            if number == 2:
                interaction = x
        mixed = functional.linear(torch.cat([a[:, :1], b[:, :1]], dim=2), *self.mix)
        mixed = torch.cat([mixed, interaction.flatten(2).transpose(1, 2)], dim=1).chunk(2, dim=2)
        outs, infos = [], []
        for own, maps, mask, part, layer in zip((a, b), both, x.chunk(2, dim=1), mixed, self.outs, strict=True):
            tokens = torch.cat([own[:, :1], (mask * maps).flatten(2).transpose(1, 2)], dim=1)
            outs.append(functional.linear(torch.cat([tokens, part], dim=2), *layer))
            infos.append(tokens.mean(1))
        return outs, infos


def loop_over_pairs(masks: list[OneMask], y: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Run one pair after the other: aligned tokens (M, B, L, C) and info tokens (S, B, C)."""
    outs: list[list[Tensor]] = [[] for _ in y]
    infos = []
    for mask, (a, b) in zip(masks, combinations(range(len(y)), 2), strict=True):
        pair, info = mask(y[a], y[b], grid)
        outs[a].append(pair[0])
        outs[b].append(pair[1])
        infos += info
    return torch.stack([torch.stack(parts).mean(0) for parts in outs]), torch.stack(infos)


def angular_loop(
    features: Tensor, targets: Tensor, domains: Tensor, present: Tensor, tau: dict[int, float]
) -> Tensor:
    """Loop over everything: the mean of the margin cells plus the mean of the coherence cells."""
    unit = functional.normalize(features, dim=-1)
    margin, coherence = [], []
    numbers = sorted(set(domains.tolist()))
    for e, f in combinations(numbers, 2):
        for label in (0, 1):

            def rows(domain: int, m: int, label: int = label) -> list[int]:
                return [
                    i
                    for i in range(len(targets))
                    if domains[i] == domain and targets[i] == label and present[i, m]
                ]

            for m in range(len(features)):
                terms = [(unit[m, i] @ unit[m, j] - tau[label]) ** 2 for i in rows(e, m) for j in rows(f, m)]
                margin += [torch.stack(terms).mean()] if terms else []
            for m, n in combinations(range(len(features)), 2):
                here, there = ([unit[m, i] @ unit[n, j] for i in rows(d, m) for j in rows(d, n)] for d in (e, f))
                terms = [(u - v) ** 2 for u in here for v in there]
                coherence += [torch.stack(terms).mean()] if terms else []
    return sum((torch.stack(cells).mean() for cells in (margin, coherence) if cells), torch.zeros(()))


def transform_kernels(weight: Tensor) -> Tensor:
    """Turn kernels (O, I, 3, 3) into those of F(2 x 2, 3 x 3), (16, I, O); Lavin and Gray, arXiv 1509.09308."""
    g = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    return torch.einsum('ai,ocij,bj->abco', g, weight, g).flatten(0, 1).contiguous()


def filter_minimally(maps: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
    """Convolve maps (B, I, h, w) of even h and w, padded by 1, with what `transform_kernels` yields."""
    (batch, channels, height, width), outputs = maps.shape, kernels.shape[2]
    rows, columns = height // 2, width // 2
    padded = functional.pad(maps.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))

    def differences(parts: list[Tensor]) -> list[Tensor]:
        return [parts[0] - parts[2], parts[1] + parts[2], parts[2] - parts[1], parts[1] - parts[3]]

    tiles = torch.empty(16, batch, rows, columns, channels)
    by_row = differences([padded[:, i : i + 2 * rows - 1 : 2] for i in range(4)])
    for i, row in enumerate(by_row):
        for j, tile in enumerate(differences([row[:, :, k : k + 2 * columns - 1 : 2] for k in range(4)])):
            tiles[4 * i + j] = tile
    products = torch.bmm(tiles.view(16, -1, channels), kernels).view(4, 4, batch, rows, columns, outputs)
    result = torch.empty(batch, rows, 2, columns, 2, outputs)
    for i, row in enumerate((products[0] + products[1] + products[2], products[1] - products[2] - products[3])):
        result[:, :, i, :, 0] = row[0] + row[1] + row[2] + bias
        result[:, :, i, :, 1] = row[1] - row[2] - row[3] + bias
    return result.view(batch, height, width, outputs).permute(0, 3, 1, 2)


def time_minimal_filtering(batch_size: int, **how: Any) -> None:
    """Time the four convolutions of 3 x 3 of a pair, directly and minimally filtered."""
    for before, after in ((256, 256), (256, 128), (128, 128), (128, 1536)):
        maps = torch.randn(batch_size, before, 14, 14).to(memory_format=torch.channels_last)
        weight, bias = torch.randn(after, before, 3, 3) / (9 * before) ** 0.5, torch.randn(after)
        kernels, last = transform_kernels(weight), weight.to(memory_format=torch.channels_last)

        def direct(maps: Tensor = maps, weight: Tensor = last, bias: Tensor = bias) -> Tensor:
            return functional.conv2d(maps, weight, bias, padding=1)

        def minimal(maps: Tensor = maps, kernels: Tensor = kernels, bias: Tensor = bias) -> Tensor:
            return filter_minimally(maps, kernels, bias)

        assert (direct() - minimal()).abs().max() < 1e-4
        slow = time_side_by_side({'minimal': minimal, 'direct': direct}, num_warm_up=1, **how)[1]
        print(f'{before} to {after} channels: {slow.ratio:.2f} x [{slow.ratio_low:.2f}, {slow.ratio_high:.2f}]')


def main() -> None:
    """Time the masks of one block of ViT-B/16, with what the adapter makes of them first, beside the loop."""
    parser = argparse.ArgumentParser()
    for name, default in (('--batch-size', 1), ('--threads', 1), ('--rounds', 9), ('--width', 768)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument('--clock', choices=('wall', 'cpu'), default='cpu', help='cpu is for one thread')
    parser.add_argument('--minimal-filtering', action='store_true', help='time the convolutions of 3 x 3 only')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.minimal_filtering:
        with torch.inference_mode():
            time_minimal_filtering(args.batch_size, num_rounds=args.rounds, clock=args.clock)
        return
    mask = MutualMask(list(combinations(range(3), 2)), token_dims=args.width).eval()
    naive = [OneMask(mask, pair, args.width).eval() for pair in range(3)]
    down = torch.randn(3, 8, args.width) / args.width**0.5
    y = torch.randn(3, args.batch_size, 197, args.width)

    def loop() -> Tensor:
        return torch.bmm(loop_over_pairs(naive, y, (14, 14))[0].flatten(1, 2), down.transpose(1, 2))

    def ours() -> Tensor:
        return mask(y, down[mask.streams], grid=(14, 14)).sides

    with torch.inference_mode():
        there = ours()
        mean = torch.stack([there[mask.streams == m].mean(0) for m in range(3)]).flatten(1, 2)
        assert (mean - loop()).abs().max() < 1e-4
        candidates = {'mmfas': ours, 'loop': loop}
        fast, slow = time_side_by_side(candidates, num_rounds=args.rounds, num_warm_up=1, clock=args.clock)
    low, high = slow.ratio_low, slow.ratio_high
    print(f'medians: mmfas {fast.median_ms:.0f} ms, loop {slow.median_ms:.0f} ms')
    print(f'{slow.ratio:.2f} x [{low:.2f}, {high:.2f}], {args.rounds} rounds in turn, {args.clock} time')


if __name__ == '__main__':
    main()
