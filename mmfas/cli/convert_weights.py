"""Convert weights of torchvision, timm, OpenAI CLIP or Hugging Face CLIP for a trunk."""

from __future__ import annotations

import argparse
import sys

from mmfas.cli.errors import reports_user_errors

SOURCES = ('torchvision', 'timm', 'openai_clip', 'hf_clip')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument('source', choices=SOURCES, help='where the weights come from')
    parser.add_argument('file', help='their state dict, as saved by torch.save')
    parser.add_argument('out', help='file to write; give it to `trunk.pretrained` of a config')


@reports_user_errors()
def main(argv: list[str] | None = None) -> int:
    """Convert; returns 0, or 1 if the file cannot be used."""
    parser = argparse.ArgumentParser(prog='mmfas convert_weights', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)

    from mmfas.models.weights.vit import convert_vit
    from mmfas.utils.checkpoint import load_weights, write_checkpoint

    converted = convert_vit(load_weights(args.file), args.source)
    sha256 = write_checkpoint({'state_dict': converted}, args.out)
    print(f'{args.out}: {len(converted)} tensors, {sum(v.numel() for v in converted.values()):,} numbers')
    print(f'sha256 {sha256}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
