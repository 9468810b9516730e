"""Encode prompts with the text tower of CLIP once, into the anchors of a TextAlignHead."""

from __future__ import annotations

import argparse

from mmfas.cli.command import command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        'weights', help='state dict of a whole CLIP in the names of OpenAI, as saved by torch.save'
    )
    parser.add_argument('out', help='file to write; give it to `head.anchors.file` of a config')
    parser.add_argument(
        '--prompts', help='YAML file with the lists `spoof` and `live`; the 24 + 24 of MMDA if left out'
    )
    parser.add_argument('--arch', default='ViT-B-16-quickgelu', help='name of the model in open_clip')


@command()
def main(args: argparse.Namespace) -> int:
    """Encode; returns 0, or 1 if a file cannot be used or open_clip is missing."""
    from mmfas.apis.prompts import encode_prompts
    from mmfas.models.heads import MMDA_PROMPTS, read_prompts
    from mmfas.utils.checkpoint import load_weights, write_checkpoint

    anchors = encode_prompts(
        load_weights(args.weights), read_prompts(args.prompts or MMDA_PROMPTS), arch=args.arch
    )
    sha256 = write_checkpoint(anchors, args.out)
    rows, width = anchors['embeddings'].shape
    print(f'{args.out}: {rows} anchors (spoof, live: {anchors["num_anchors"]}) of width {width}')
    print(f'sha256 {sha256}')
    return 0
