"""All U-Adapters of one block as one computation.

Legend: M modalities (canonical order), E edges (own modality, partner), B batch, L tokens, C token width,
A tokens that are adapted (L, or those before the patches), r adapter width, H heads, h x w patch grid,
S slots: the largest number of projections that one modality has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.layers.activations import quick_gelu
from mmfas.models.layers.central_difference import CentralDifferenceConv
from mmfas.models.layers.stacked import StackedLinear
from mmfas.models.specs import OwnedParameter
from mmfas.utils.errors import InputError


class GroupedUAdapter(nn.Module):
    """The U-Adapters of one block, one per edge, as one computation.

    From MMDG (arXiv 2402.19298), Eq. 4 and Fig. 3. Edge (own, partner) adds to the stream of `own`

        k = g(W1 x_own),  q = g(W2 x_partner),  a = proj(softmax(u_partner (Q q) (K k)^T / sqrt(r / H)) V k),
        up(g(cdc(norm(a + k))))          with g the quick GELU and u the confidence in the partner's tokens.

    u multiplies a whole row of logits, hence the query: a token of the partner with low confidence attends to all
    tokens of `own` alike. Slice e of every parameter belongs to edge e.

    Args:
        edges: Pairs (own, partner) of stream numbers.
        num_streams: Number of modalities M.
        token_dims: Token width C.
        adapter_dims: Width r.
        num_heads: Number H of attention heads; divides r.
        theta: Weight theta of the central-difference term, in [0, 1].
        dropout: Dropout probability before the up projection, in [0, 1).
        convolve_prefix: Send the class token through the convolution too, as a map of 1 x 1 (as released); else it
            bypasses it (as the paper draws).
    """

    _partner: Tensor
    _reads: Tensor
    _places: Tensor
    _writes: Tensor
    _writers: Tensor

    def __init__(
        self,
        edges: Sequence[tuple[int, int]],
        *,
        num_streams: int,
        token_dims: int,
        adapter_dims: int,
        num_heads: int,
        theta: float,
        dropout: float,
        convolve_prefix: bool,
    ) -> None:
        super().__init__()
        if adapter_dims % num_heads:
            raise InputError(f'num_heads must divide adapter_dims {adapter_dims}, but got {num_heads}')
        num, self.num_heads, self.convolve_prefix = len(edges), num_heads, convolve_prefix
        self._streams = num_streams
        self.down_own = StackedLinear(num, in_features=token_dims, out_features=adapter_dims)
        self.down_partner = StackedLinear(num, in_features=token_dims, out_features=adapter_dims)
        self.query = StackedLinear(num, in_features=adapter_dims, out_features=adapter_dims, bias=False)
        self.key_value = StackedLinear(num, in_features=adapter_dims, out_features=2 * adapter_dims, bias=False)
        self.project = StackedLinear(num, in_features=adapter_dims, out_features=adapter_dims)
        self.norm_weight = nn.Parameter(torch.ones(num, adapter_dims))
        self.norm_bias = nn.Parameter(torch.zeros(num, adapter_dims))
        self.conv = CentralDifferenceConv(adapter_dims, adapter_dims, num_copies=num, theta=theta)
        self.dropout = nn.Dropout(dropout)
        self.up = StackedLinear(num, in_features=adapter_dims, out_features=token_dims).zero_()
        bound = math.sqrt(6 / (token_dims + adapter_dims))  # Xavier, as released
        for layer in (self.down_own, self.down_partner):
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.required_bias)
        self._make_tables(edges, num_streams)

    def tensors_of(self, edge: int) -> list[OwnedParameter]:
        """Return the slices of one edge, one for each tensor that a U-Adapter of its own would have.

        Args:
            edge: Number of the edge.

        Returns:
            Pairs (parameter, index). Keys and values share a parameter, but are two slices of it.
        """
        joint, width = self.key_value.weight, self.up.weight.shape[-1]
        rest: list[OwnedParameter] = [(p, edge) for p in self.parameters() if p is not joint]
        return [*rest, (joint, (edge, slice(width))), (joint, (edge, slice(width, None)))]

    def _make_tables(self, edges: Sequence[tuple[int, int]], num_streams: int) -> None:
        """Tabulate which projections read and write which stream; short rows are padded."""
        # The streams are by far the largest tensors here, and a stream feeds several projections: 0..E-1 read the
        # own modality of an edge, E..2E-1 the partner. So projections are grouped by the stream that they read
        # (`reads`), run as one product for each stream (`_down`) and are put back into the order of the edges
        # (`places`). Writing is grouped by the stream that an edge adds to (`_up`): `writes` picks inputs,
        # `writers` weights.
        owns, partners = [own for own, _ in edges], [partner for _, partner in edges]
        reads = _rows([*owns, *partners], num_streams)
        width = len(reads[0])
        place = {n: row * width + column for row, ns in enumerate(reads) for column, n in enumerate(ns) if n >= 0}
        writes = _rows(owns, num_streams)
        for name, value in (
            ('partner', partners),
            ('reads', [max(n, 0) for row in reads for n in row]),
            ('places', [place[n] for n in range(2 * len(edges))]),
            ('writes', [max(n, 0) for row in writes for n in row]),
            # one past the end stands for a row of zeros
            ('writers', [n % (len(edges) + 1) for row in writes for n in row]),
        ):
            self.register_buffer(f'_{name}', torch.tensor(value), persistent=False)

    def forward(
        self,
        x: Tensor,
        confidence: Tensor,
        *,
        present: Tensor,
        grid: tuple[int, int],
        prefix_only: bool = False,
    ) -> Tensor:
        """Adapt normalised tokens.

        Args:
            x: Tokens (M, B, L, C), patches last.
            confidence: Confidence in every token (M, B, L).
            present: Boolean mask (B, M): an edge from an absent partner adds nothing.
            grid: Rows and columns of the patches.
            prefix_only: Adapt the A tokens before the patches only; they still attend to the patches.

        Returns:
            What to add to the streams (M, B, A, C), with A = L unless `prefix_only`.
        """
        num_prefix = x.shape[2] - grid[0] * grid[1]
        adapted = slice(num_prefix if prefix_only else None)
        own, partner = self._down(x).chunk(2)  # (E, B, L, r)
        weight = confidence[self._partner][..., adapted, None].to(partner.dtype)
        query = self.query(partner[..., adapted, :]) * weight
        attended = self._attend(query, *self.key_value(own).chunk(2, dim=-1))
        z = functional.layer_norm(self.project(attended) + own[..., adapted, :], own.shape[-1:])
        z = torch.addcmul(self.norm_bias[:, None, None], z, self.norm_weight[:, None, None])
        z = self.dropout(quick_gelu(self._convolve(z, num_prefix, grid)))
        return self._up(z, present.t()[self._partner])

    def _down(self, x: Tensor) -> Tensor:
        """Project tokens (M, B, L, C) to (2E, B, L, r), own ones first; each stream is read once."""
        # r is much smaller than C, so reading the tokens costs more than the arithmetic. With the weights of its S
        # projections side by side a stream is read once instead of S times. A padded slot repeats projection 0;
        # `_places` does not pick its result.
        streams = x.shape[0]
        weight = torch.cat([self.down_own.weight, self.down_partner.weight])[self._reads]  # (M*S, r, C)
        bias = torch.cat([self.down_own.required_bias, self.down_partner.required_bias])[self._reads]
        weight, bias = (p.unflatten(0, (streams, -1)).flatten(1, 2) for p in (weight, bias))
        z = torch.baddbmm(bias[:, None], x.flatten(1, 2), weight.transpose(1, 2))
        z = quick_gelu(z).view(*x.shape[:3], -1, self.up.weight.shape[-1])  # (M, B, L, S, r)
        return z.permute(0, 3, 1, 2, 4).flatten(0, 1)[self._places]

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend within every edge and sample: (E, B, A, r)."""
        heads = (t.flatten(0, 1).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (query, key, value))
        out = functional.scaled_dot_product_attention(*heads)
        return out.transpose(1, 2).flatten(2).unflatten(0, query.shape[:2])

    def _convolve(self, z: Tensor, num_prefix: int, grid: tuple[int, int]) -> Tensor:
        """Convolve the tokens (E, B, A, r): the patches if any; with `convolve_prefix` also the prefix."""
        prefix, patches = z[:, :, :num_prefix], z[:, :, num_prefix:]
        if patches.shape[2]:
            patches = self.conv(patches.transpose(2, 3).unflatten(3, grid)).flatten(3).transpose(2, 3)
        if self.convolve_prefix:
            prefix = self.conv(prefix.flatten(1, 2)[..., None, None]).view_as(prefix)
        return torch.cat([prefix, patches], dim=2)

    def _up(self, z: Tensor, is_there: Tensor) -> Tensor:
        """Project (E, B, A, r) up and add the edges of each stream, where (E, B) says so: (M, B, A, C)."""
        # A stream gets the sum over its edges of (input times weight). With the edges side by side along the inner
        # axis, S * (r + 1) long, the product itself sums, and no tensor (E, B, A, C) is made. The bias is one more
        # input, so that it too vanishes with an absent partner; a padded slot has the row of zeros as its weight.
        z = torch.cat([z, torch.ones_like(z[..., :1])], dim=-1) * is_there[..., None, None].to(z.dtype)
        weight = functional.pad(
            torch.cat([self.up.weight, self.up.required_bias.unsqueeze(-1)], dim=-1), (0, 0, 0, 0, 0, 1)
        )
        z, weight = (
            t[table].unflatten(0, (self._streams, -1)) for t, table in ((z, self._writes), (weight, self._writers))
        )
        rows = z.permute(0, 2, 3, 1, 4).flatten(3)  # (M, B, L, S*(r+1))
        out = torch.bmm(rows.flatten(1, 2), weight.transpose(2, 3).flatten(1, 2))
        return out.unflatten(1, rows.shape[1:3])


def _rows(streams: Sequence[int], num_streams: int) -> list[list[int]]:
    """List for each stream which entries name it, padded with -1 to one length."""
    rows = [[n for n, stream in enumerate(streams) if stream == m] for m in range(num_streams)]
    width = max(len(row) for row in rows)
    return [row + [-1] * (width - len(row)) for row in rows]
