"""MMDG as one would write it first: the oracle of equality, and what its speed is reported against.

Streams one after the other, adapters one after the other with whole maps of attention, 20 dropped-out copies for
the uncertainty, one `.backward()` per loss, one slice at a time in the gradient rule. Run as a script it times all
this beside what mmfas does:

    python tests/reference/naive_mmdg.py CONFIG --batch-size 4 --threads 2 --rounds 5
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from modulation_oracles import regrad_tensor
from torch import Tensor, nn
from torch.nn import functional

from mmfas.structures import MODALITIES, FusedFeatures, domain_codes_of, targets_of

Judge = Callable[[Tensor], Tensor]


def drawn_trust(y: Tensor, count: int = 20, p: float = 0.3, rate: float = 2.25) -> Tensor:
    """Draw copies and measure their spread, as released: tokens (B, L, C) to trust (B, L)."""
    with torch.no_grad():
        copies = torch.stack([functional.dropout(y, p, training=True) for _ in range(count)])
        return torch.exp(-rate * copies.std(0)).mean(-1)


def expected_trust(y: Tensor, p: float = 0.3, rate: float = 2.25) -> Tensor:
    """Take the spread that copies have in expectation."""
    with torch.no_grad():
        return torch.exp(-rate * (y.square() * p / (1 - p)).sqrt()).mean(-1)


def linear(layer: Any, e: int, x: Tensor) -> Tensor:
    """Apply one of stacked layers."""
    out = x @ layer.weight[e].t()
    return out if layer.bias is None else out + layer.bias[e]


def gelu(x: Tensor) -> Tensor:
    """The quick one."""
    return x * torch.sigmoid(1.702 * x)


def adapt(
    adapter: Any, e: int, own: Tensor, partner: Tensor, trust: Tensor, grid: tuple[int, int] = (2, 3)
) -> Tensor:
    """One edge, one step after the other, with the whole map of attention: (B, L, C)."""
    prefix = own.shape[1] - grid[0] * grid[1]
    key, asked = gelu(linear(adapter.down_own, e, own)), gelu(linear(adapter.down_partner, e, partner))
    width = key.shape[-1] // adapter.num_heads
    keys, values = linear(adapter.key_value, e, key).chunk(2, dim=-1)
    queries, heads = linear(adapter.query, e, asked), []
    for h in range(adapter.num_heads):
        cut = slice(h * width, (h + 1) * width)
        logits = queries[..., cut] @ keys[..., cut].transpose(1, 2) / math.sqrt(width)
        heads.append(torch.softmax(logits * trust[:, :, None], dim=-1) @ values[..., cut])
    z = linear(adapter.project, e, torch.cat(heads, dim=-1)) + key
    z = functional.layer_norm(z, z.shape[-1:], adapter.norm_weight[e], adapter.norm_bias[e])
    image = z[:, prefix:].transpose(1, 2).unflatten(2, grid)
    weight = adapter.conv.weight[e]
    total = weight.sum((2, 3), keepdim=True)
    image = functional.conv2d(image, weight, padding=1) - adapter.conv.theta * functional.conv2d(image, total)
    cls = z[:, :prefix]
    if adapter.convolve_prefix:
        cls = cls @ (weight[:, :, 1, 1] - adapter.conv.theta * total[..., 0, 0]).t()
    return linear(adapter.up, e, gelu(torch.cat([cls, image.flatten(2).transpose(1, 2)], dim=1)))


def embed(embedding: Any, image: Tensor, m: int) -> Tensor:
    """Turn the images of one modality into tokens (B, L, C)."""
    weight, bias, cls, pos = (
        parameter[m if len(parameter) > 1 else 0]
        for parameter in (embedding.patch_weight, embedding.patch_bias, embedding.cls_token, embedding.pos_embed)
    )
    x = functional.conv2d(image, weight, bias, embedding.stride).flatten(2).transpose(1, 2)
    return torch.cat([cls.expand(len(x), -1, -1), x], dim=1) + pos


def features_of(model: Any, inputs: dict[str, Tensor], judge: Judge) -> FusedFeatures:
    """Run the streams side by side."""
    present, neck, trunk = inputs['present'], model.neck, model.trunk
    streams = [embed(trunk.embedding, inputs[name], m) for m, name in enumerate(MODALITIES)]
    grid = trunk.grid(inputs['rgb'].shape[-2:])
    for block, adapter in zip(trunk.bind(present), neck.adapters, strict=True):
        attended = [block.attn(block.norm1(x)) for x in streams]
        trust = [judge(y) for y in attended]
        after = [x + y for x, y in zip(streams, attended, strict=True)]
        hidden = [block.norm2(a) for a in after]
        streams = [a + block.mlp(h) for a, h in zip(after, hidden, strict=True)]
        for e, (own, partner) in enumerate((MODALITIES.index(a), MODALITIES.index(b)) for a, b in neck.edges):
            delta = adapt(adapter, e, hidden[own], hidden[partner], trust[partner], grid)
            streams[own] = streams[own] + delta * present[:, partner, None, None]
    per_modality = [trunk.readout(x[None])[0] * present[:, m, None] for m, x in enumerate(streams)]
    read = slice(0, 1) if trunk.pooling == 'cls' else slice(1, None)
    confidence = torch.stack([t[:, read].mean(1) for t in trust])
    return FusedFeatures(torch.cat(per_modality, dim=1), torch.stack(per_modality), confidence=confidence)


def naive_step(
    model: Any, inputs: dict[str, Tensor], samples: Sequence[Any], judge: Judge = drawn_trust
) -> dict[str, Tensor]:
    """Compute the gradients of a ReGrad step of a batch of which every modality has a sample: name -> gradient."""
    present = inputs['present']
    features = features_of(model, inputs, judge)
    domain = domain_codes_of(samples, present.device)
    terms = model.head.loss_terms(features, targets_of(samples, present.device), present, domain=domain)
    means = [total / count.clamp(min=1) for total, count in terms.per_modality.values()]
    rows: dict[str, list[Tensor]] = {}
    for index, loss in enumerate([*means, torch.stack(list(terms.main.values())).sum()]):
        model.zero_grad()
        loss.backward(retain_graph=index < len(means))
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                rows.setdefault(name, []).append(grad)
    model.zero_grad()
    losses = [mean.item() for mean in means]
    trust = [terms.confidence[name].item() for name in MODALITIES]
    step = {name: sum(grads) for name, grads in rows.items()}
    for name, index, owner in owned_slices(model):
        *grads, main = (grad[index] for grad in rows[name])
        step[name][index] = regrad_tensor(grads, owner, losses.index(min(losses)), trust) + main
    return step


def owned_slices(model: nn.Module) -> list[tuple[str, int | tuple, int]]:
    """List name, index and number of the owner of everything trainable that a modality owns."""
    names = {id(p): name for name, p in model.named_parameters()}
    entries = [
        (entry if isinstance(entry, tuple) else (entry, ()), MODALITIES.index(modality))
        for modality, owned in model.modality_parameters().items()
        for entry in owned
    ]
    return [(names[id(p)], index, owner) for (p, index), owner in entries if p.requires_grad]


def main(argv: list[str]) -> int:
    """Print how long trunk, step and the naive step take, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    for name, default in (('--batch-size', 4), ('--threads', 2), ('--rounds', 5), ('--warm-up', 1)):
        parser.add_argument(name, type=int, default=default)
    args = parser.parse_args(argv)
    from mmengine.config import Config

    from mmfas.analysis.complexity import example_inputs, example_samples, image_size_of
    from mmfas.analysis.gradient_speed import gradient_candidates
    from mmfas.analysis.speed import speed_candidates, time_side_by_side
    from mmfas.apis.building import build_model

    torch.set_num_threads(args.threads)
    cfg = Config.fromfile(args.config)
    model = build_model(cfg)
    inputs = example_inputs(model, args.batch_size, size=image_size_of(model, None))
    samples = example_samples(args.batch_size)

    def score() -> None:
        with torch.no_grad():
            model.head(features_of(model.eval(), inputs, drawn_trust))

    scoring = speed_candidates('scoring', model, batch_size=args.batch_size, is_training=False)
    scoring['scoring: naive'] = score
    training = gradient_candidates('gradients', model, cfg, batch_size=args.batch_size)
    training['gradients: naive'] = lambda: naive_step(model.train(), inputs, samples)
    for candidates in (scoring, training):
        for timing in time_side_by_side(candidates, num_rounds=args.rounds, num_warm_up=args.warm_up):
            print(f'{timing.name:<20} {timing.median_ms:9.1f} ms   {timing.ratio:6.3f} x')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
