"""Tests of the weight converters: names made in the test, outputs equal to a reference model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.cli.weights import convert as weights_convert
from mmfas.models import MultiStreamViT
from mmfas.models.weights.onnx_vit import convert_any_vit
from mmfas.models.weights.vit import convert_vit
from mmfas.registry import BACKBONES
from test_models.helpers import ARCH, VIT

WIDTH, HEADS, PATCH = 16, 2, 8
CLIP = dict(
    arch=ARCH, img_size=32, patch_size=PATCH, pre_norm=True, norm_cfg=dict(type='LN', eps=1e-5),
    layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')),
)  # fmt: skip

pytestmark = pytest.mark.engine


class ReferenceBlock(nn.Module):
    """One pre-norm block, in OpenAI's names."""

    def __init__(self, quick: bool, eps: float) -> None:
        super().__init__()
        self.quick = quick
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH, eps), nn.LayerNorm(WIDTH, eps)
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.mlp = nn.ModuleDict(dict(c_fc=nn.Linear(WIDTH, 32), c_proj=nn.Linear(32, WIDTH)))

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        h = self.mlp['c_fc'](self.ln_2(x))
        h = h * torch.sigmoid(1.702 * h) if self.quick else functional.gelu(h)
        return x + self.mlp['c_proj'](h)


class ReferenceTower(nn.Module):
    """An image tower with OpenAI's names: `clip` with pre-norm, QuickGELU and projection, else a plain ViT."""

    def __init__(self, clip: bool) -> None:
        super().__init__()
        eps = 1e-5 if clip else 1e-6
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=not clip)
        self.class_embedding = nn.Parameter(torch.empty(WIDTH))
        self.positional_embedding = nn.Parameter(torch.empty(17, WIDTH))
        self.ln_pre = nn.LayerNorm(WIDTH, eps) if clip else nn.Identity()
        self.transformer = nn.ModuleDict(
            dict(resblocks=nn.ModuleList(ReferenceBlock(clip, eps) for _ in range(2)))
        )
        self.ln_post = nn.LayerNorm(WIDTH, eps)
        self.proj = nn.Parameter(torch.empty(WIDTH, 12)) if clip else None
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv1(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1)
        x = self.ln_pre(x + self.positional_embedding)
        for block in self.transformer['resblocks']:
            x = block(x)
        x = self.ln_post(x[:, 0])
        return x if self.proj is None else x @ self.proj


def rename(state: dict[str, Tensor], table: dict[str, str]) -> dict[str, Tensor]:
    """Replace words of names, longest first."""
    renamed = {}
    for name, value in state.items():
        for ours in sorted(table, key=len, reverse=True):
            name = name.replace(ours, table[ours])
        renamed[name] = value
    return renamed


def to_timm(tower: ReferenceTower) -> dict[str, Tensor]:
    table = {
        'conv1': 'patch_embed.proj', 'class_embedding': 'cls_token', 'positional_embedding': 'pos_embed',
        'transformer.resblocks': 'blocks', 'ln_1': 'norm1', 'ln_2': 'norm2', 'ln_post': 'norm',
        'attn.in_proj_': 'attn.qkv.', 'attn.out_proj': 'attn.proj', 'c_fc': 'fc1', 'c_proj': 'fc2',
    }  # fmt: skip
    state = rename(tower.state_dict(), table)
    state['cls_token'], state['pos_embed'] = state['cls_token'].view(1, 1, -1), state['pos_embed'][None]
    return {**state, 'head.weight': torch.zeros(2, WIDTH)}


def to_openai(tower: ReferenceTower) -> dict[str, Tensor]:
    state = {f'visual.{name}': value for name, value in tower.state_dict().items()}
    return {**state, 'token_embedding.weight': torch.zeros(3, 4), 'logit_scale': torch.zeros(())}


def to_hugging_face(tower: nn.Module) -> dict[str, Tensor]:
    table = {
        'conv1': 'embeddings.patch_embedding', 'class_embedding': 'embeddings.class_embedding',
        'positional_embedding': 'embeddings.position_embedding.weight', 'transformer.resblocks': 'encoder.layers',
        'ln_1': 'layer_norm1', 'ln_2': 'layer_norm2', 'ln_pre': 'pre_layrnorm', 'ln_post': 'post_layernorm',
        'attn.out_proj': 'self_attn.out_proj', 'c_fc': 'fc1', 'c_proj': 'fc2',
    }  # fmt: skip
    state = {f'vision_model.{name}': value for name, value in rename(tower.state_dict(), table).items()}
    state['visual_projection.weight'] = state.pop('vision_model.proj').t()
    for name in [n for n in state if 'attn.in_proj_' in n]:
        stem, kind = name.split('attn.in_proj_')
        for part, value in zip('qkv', state.pop(name).chunk(3), strict=True):
            state[f'{stem}self_attn.{part}_proj.{kind}'] = value
    extra = {'text_model.x': torch.zeros(1), 'logit_scale': torch.zeros(())}
    return {**state, **extra, 'vision_model.embeddings.position_ids': torch.arange(17)}


def trunk_with(state: dict[str, Tensor], **kwargs: Any) -> MultiStreamViT:
    trunk = BACKBONES.build({**VIT, **kwargs})
    trunk.load_pretrained(state)
    return trunk.train(False)


def assert_equal_features(trunk: MultiStreamViT, reference: Callable[[Tensor], Tensor]) -> None:
    images = torch.randn(3, 2, 3, 32, 32)
    streams = trunk.embed(images)
    for block in trunk.blocks:
        streams = block(streams)
    expected = torch.stack([reference(x) for x in images])
    torch.testing.assert_close(trunk.readout(streams), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_torchvision_vit() -> None:
    from torchvision.models import VisionTransformer

    model = VisionTransformer(32, PATCH, 2, HEADS, WIDTH, 32, num_classes=2).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    trunk = trunk_with(convert_vit(model.state_dict(), 'torchvision'))
    model.heads = nn.Identity()
    assert_equal_features(trunk, model)


@torch.no_grad()
def test_timm_vit() -> None:
    tower = ReferenceTower(clip=False).eval()
    assert_equal_features(trunk_with(convert_vit(to_timm(tower), 'timm')), tower)


@torch.no_grad()
@pytest.mark.parametrize(('source', 'rewrite'), [('openai_clip', to_openai), ('hf_clip', to_hugging_face)])
def test_clip_image_towers(source: str, rewrite: Any) -> None:
    tower = ReferenceTower(clip=True).eval()
    state = convert_vit(rewrite(tower), source)
    assert_equal_features(trunk_with(state, vit=CLIP, proj_dims=12), tower)
    with pytest.raises(ValueError, match='1 unexpected: projection.weight'):
        trunk_with(state, vit=CLIP)


@torch.no_grad()
@pytest.mark.parametrize('source', ['openai_clip', 'hf_clip'])
def test_image_tower_of_open_clip(source: str) -> None:
    open_clip = pytest.importorskip('open_clip', reason="open_clip is missing: pip install 'mmfas[clip]'")
    vision = dict(image_size=32, patch_size=PATCH, width=WIDTH, layers=2, head_width=WIDTH // HEADS, mlp_ratio=2)
    text = dict(context_length=4, vocab_size=8, width=8, heads=2, layers=1)
    model = open_clip.CLIP(embed_dim=12, vision_cfg=vision, text_cfg=text, quick_gelu=True).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    state = model.state_dict() if source == 'openai_clip' else to_hugging_face(model.visual)
    assert_equal_features(trunk_with(convert_vit(state, source), vit=CLIP, proj_dims=12), model.encode_image)


def test_half_precision_becomes_single() -> None:
    state = {name: value.half() for name, value in to_openai(ReferenceTower(clip=True)).items()}
    assert {value.dtype for value in convert_vit(state, 'openai_clip').values()} == {torch.float32}


def test_layer_scale_of_timm() -> None:
    names = ('cls_token', 'blocks.3.ls1.gamma', 'blocks.3.ls2.gamma')
    converted = convert_vit({name: torch.zeros(1, 1, 4) for name in names}, 'timm')
    assert list(converted) == ['cls_token', 'layers.3.attn.gamma1.weight', 'layers.3.ffn.gamma2.weight']


def test_the_wrong_source_is_refused() -> None:
    with pytest.raises(
        ValueError, match='this is not a vision transformer of torchvision: .* is the source right'
    ):
        convert_vit(to_timm(ReferenceTower(clip=False)), 'torchvision')
    with pytest.raises(ValueError, match="source must be one of .* got 'jax'"):
        convert_vit({}, 'jax')


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / 'timm.pth', tmp_path / 'trunk.pth'
    tower = ReferenceTower(clip=False).eval()
    torch.save(to_timm(tower), source)
    assert weights_convert.main(['timm', str(source), str(out)]) == 0
    assert 'sha256' in capsys.readouterr().out
    trunk = BACKBONES.build({**VIT, 'pretrained': str(out)})
    trunk.init_weights()
    with torch.no_grad():
        assert_equal_features(trunk.train(False), tower)
    assert weights_convert.main(['hf_clip', str(source), str(out)]) == 1
    assert 'is the source right' in capsys.readouterr().err
    assert weights_convert.main(['timm', str(tmp_path / 'none.pth'), str(out)]) == 1


@torch.no_grad()
@pytest.mark.parametrize('source', ['dinov2', 'mae'])
def test_names_of_meta(source: str) -> None:
    tower = ReferenceTower(clip=False).eval()
    state = to_timm(tower)
    if source == 'dinov2':
        state = {name.replace('blocks.', 'blocks.0.'): value for name, value in state.items()}
        extra = {'mask_token': torch.zeros(1, 16), 'dino_head.mlp.0.weight': torch.zeros(2, 2)}
    else:
        extra = {'mask_token': torch.zeros(1, 1, 8), 'decoder_blocks.0.norm1.bias': torch.zeros(8)}
    assert_equal_features(trunk_with(convert_vit({**state, **extra}, source)), tower)


def test_registers_and_gated_mlps_of_dinov2() -> None:
    vit = dict(VIT['vit'], layer_scale_init_value=0.1, layer_cfgs=dict(ffn_type='swiglu_fused'), num_registers=4)
    trunk = BACKBONES.build({**VIT, 'vit': vit})
    table = {
        'embedding.registers': 'register_tokens', 'embedding.patch_': 'patch_embed.proj.', 'embedding.': '',
        'vit.layers': 'blocks', 'ln1': 'norm1', 'ln2': 'norm2', 'attn.gamma1.weight': 'ls1.gamma',
        'ffn.gamma2.weight': 'ls2.gamma', 'ffn': 'mlp', 'vit.ln1': 'norm',
    }  # fmt: skip
    state = rename(trunk.state_dict(), table)
    state['patch_embed.proj.weight'], state['patch_embed.proj.bias'] = (
        state[f'patch_embed.proj.{kind}'][0] for kind in ('weight', 'bias')
    )
    twin = trunk_with(convert_vit(state, 'dinov2'), vit=vit)
    for name, value in trunk.state_dict().items():
        assert torch.equal(twin.state_dict()[name], value), name


@torch.no_grad()
@pytest.mark.parametrize('form', ['hugging-face', 'open_clip'])
def test_image_tower_of_siglip(form: str) -> None:
    timm = pytest.importorskip('timm', reason="timm is missing: pip install 'mmfas[timm]'")
    sizes = dict(img_size=32, patch_size=PATCH, embed_dim=WIDTH, depth=2, num_heads=HEADS, mlp_ratio=2)
    kind = dict(class_token=False, global_pool='map', act_layer='gelu_tanh', num_classes=0)
    tower = timm.create_model('vit_base_patch16_224', **sizes, **kind).eval()
    for parameter in tower.parameters():
        nn.init.normal_(parameter, std=0.3)
    state = {f'visual.trunk.{name}': value for name, value in tower.state_dict().items()}
    if form == 'hugging-face':
        table = {
            'visual.trunk.': 'vision_model.', 'patch_embed.proj': 'embeddings.patch_embedding',
            'pos_embed': 'embeddings.position_embedding.weight', 'blocks': 'encoder.layers',
            'norm1': 'layer_norm1', 'norm2': 'layer_norm2', 'attn.proj': 'self_attn.out_proj', 'attn_pool': 'head',
        }  # fmt: skip
        state = {n.replace('trunk.norm.', 'trunk.post_layernorm.'): v for n, v in state.items()}
        state = rename(state, table)
        state['vision_model.embeddings.position_embedding.weight'].squeeze_(0)
        for name in [n for n in state if '.attn.qkv.' in n]:
            stem, joint = name.split('attn.qkv.')
            for part, value in zip('qkv', state.pop(name).chunk(3), strict=True):
                state[f'{stem}self_attn.{part}_proj.{joint}'] = value
    vit = dict(
        VIT['vit'], with_cls_token=False, norm_cfg=dict(type='LN', eps=1e-6),
        layer_cfgs=dict(act_cfg=dict(type='GELU', approximate='tanh')),
    )  # fmt: skip
    trunk = trunk_with(convert_vit({**state, 'logit_bias': torch.zeros(1)}, 'siglip'), vit=vit, pooling='mean')
    # the norm after the mean is not in the file and starts as one without weights
    trunk.vit.ln2 = nn.Identity()
    assert_equal_features(trunk, lambda x: tower.forward_features(x).mean(1))


def onnx_of(state: dict[str, Tensor], path: Path, *, notes_scopes: bool) -> None:
    """Write weights as exporters do: matrices of linear layers turned round, under names that say nothing."""
    onnx = pytest.importorskip('onnx', reason="onnx is missing: pip install 'mmfas[deploy]'")
    tensors, nodes = [], []
    for number, (name, value) in enumerate(state.items()):
        layer = name.removesuffix('.weight')
        is_matrix = value.dim() == 2 and name != layer
        ours = f'onnx::MatMul_{number}' if is_matrix else name
        given = value.t().contiguous() if is_matrix else value
        tensors.append(onnx.numpy_helper.from_array(given.numpy(), ours))
        if is_matrix:
            first, *rest = layer.split('.')
            # a list of modules names its entries after itself: /blocks/blocks.0/attn/qkv
            steps = [first, f'{first}.{rest[0]}', *rest[1:]] if rest else [first]
            node_name = '' if notes_scopes else f'/{"/".join(steps)}/MatMul'
            node = onnx.helper.make_node('MatMul', ['x', ours], [f'y{number}'], name=node_name)
            if notes_scopes:
                scopes = str(['', first, layer, 'matmul'])
                node.metadata_props.add(key='pkg.torch.onnx.name_scopes', value=scopes)
            nodes.append(node)
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, 'vit', [], [], tensors)), str(path))


@torch.no_grad()
@pytest.mark.parametrize('notes_scopes', [False, True])
def test_onnx_file_of_a_vit(notes_scopes: bool, tmp_path: Path) -> None:
    tower = ReferenceTower(clip=False).eval()
    source, out = tmp_path / 'vit.onnx', tmp_path / 'trunk.pth'
    onnx_of({**to_timm(tower), 'val_3': torch.zeros(2)}, source, notes_scopes=notes_scopes)
    assert weights_convert.main(['onnx', str(source), str(out)]) == 0
    trunk = BACKBONES.build({**VIT, 'pretrained': str(out)})
    trunk.init_weights()
    assert_equal_features(trunk.train(False), tower)


@pytest.mark.slow
@torch.no_grad()
def test_onnx_file_that_torch_exports(tmp_path: Path) -> None:
    timm = pytest.importorskip('timm', reason="timm is missing: pip install 'mmfas[timm]'")
    pytest.importorskip('onnxscript', reason="onnxscript is missing: pip install 'mmfas[deploy]'")
    sizes = dict(img_size=32, patch_size=PATCH, embed_dim=WIDTH, depth=2, num_heads=HEADS, mlp_ratio=2)
    tower = timm.create_model('vit_base_patch16_224', **sizes, num_classes=2).eval()
    for parameter in tower.parameters():
        nn.init.normal_(parameter, std=0.3)
    source, out = tmp_path / 'vit.onnx', tmp_path / 'trunk.pth'
    shapes = ({0: torch.export.Dim('batch')},)  # with a fixed batch, the class token is folded into a constant
    torch.onnx.export(tower, (torch.randn(2, 3, 32, 32),), str(source), dynamic_shapes=shapes, verbose=False)
    assert weights_convert.main(['onnx', str(source), str(out)]) == 0
    trunk = BACKBONES.build({**VIT, 'pretrained': str(out)})
    trunk.init_weights()
    tower.reset_classifier(0)
    assert_equal_features(trunk.train(False), tower)


def test_what_is_no_onnx_file_of_a_vit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('onnx', reason="onnx is missing: pip install 'mmfas[deploy]'")
    path = tmp_path / 'vit.onnx'
    path.write_bytes(b'no graph')
    assert weights_convert.main(['onnx', str(path), str(tmp_path / 'out.pth')]) == 1
    assert 'is not an ONNX file' in capsys.readouterr().err
    with pytest.raises(ValueError, match='not a vision transformer of torchvision, timm, .* 1 named tensors'):
        convert_any_vit({'conv.weight': torch.zeros(1), 'val_3': torch.zeros(1)})
