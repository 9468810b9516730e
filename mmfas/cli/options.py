"""How `--cfg-options key=value ...` are read from the command line."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmfas.utils.errors import InputError

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmfas.deploy.inferencer import FASInferencer
    from mmfas.evaluation import ScoreRules


class ConfigOptions(argparse.Action):
    """mmengine's `DictAction` with clear refusals, and with the spaces of a value kept (it takes them out).

    >>> [ConfigOptions.parse(text) for text in ('my data/faces', "['a b.txt', 'c.txt']", '1,2')]
    ['my data/faces', ['a b.txt', 'c.txt'], [1, 2]]
    """

    @staticmethod
    def parse(text: str) -> Any:
        """Read one value.

        Args:
            text: A number, bool, None, text, or a list or tuple of them.

        Raises:
            ValueError: If brackets are not balanced.
        """
        if ' ' in text and text[0] in '[(' and ('"' in text or "'" in text):
            try:
                return ast.literal_eval(text)
            except (ValueError, SyntaxError):
                pass  # not Python: mmengine's own short form
        if ' ' in text and not any(char in text for char in '[](),'):
            return text.strip('\'"')
        # Not imported above: `--help` and completion build a parser with this action and must not import torch.
        from mmengine.config import DictAction

        try:
            return DictAction._parse_iterable(text)
        except AssertionError as error:
            raise InputError(f"brackets do not match in '{text}'") from error

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Add the pairs to the dictionary of the options given before."""
        options = dict(getattr(namespace, self.dest, None) or {})
        for item in values or ():
            key, separator, text = item.partition('=')
            if not (key and separator):
                parser.error(f"{option_string}: '{item}' is not key=value; quote a value with spaces as a whole")
            try:
                options[key] = self.parse(text)
            except ValueError as error:
                parser.error(f'{option_string} {key}: {error}')
        setattr(namespace, self.dest, options)


def add_rule_options(parser: argparse.ArgumentParser) -> None:
    """Declare how scores become numbers, where a config has the defaults; `rules_of` reads it.

    Args:
        parser: Parser to extend.
    """
    parser.add_argument(
        '--criterion',
        help='how dev scores fix the threshold: eer, min-hter, bpcer@apcer=0.01, ...; or fixed=0.5, or site',
    )
    parser.add_argument('--level', choices=('frame', 'video', 'subject'), help='what one score is for')
    parser.add_argument('--how', choices=('mean', 'median', 'max'), help='how frames become one score')
    parser.add_argument('--allow-duplicates', action='store_true', help='accept repeated sample ids')


def rules_of(cfg: Config, args: argparse.Namespace, **changes: Any) -> ScoreRules:
    """Return the rules of a config, changed by the options of `add_rule_options`.

    Args:
        cfg: Config whose `val_evaluator` has the defaults.
        args: Parsed options.
        **changes: Further fields; None keeps that of the config.
    """
    from mmfas.evaluation import ScoreRules

    return ScoreRules.from_config(
        cfg,
        criterion=args.criterion,
        level=args.level,
        frame_reduction=args.how,
        allow_duplicates=args.allow_duplicates,
        **changes,
    )


def is_given(args: argparse.Namespace, name: str) -> bool:
    """Tell whether an option whose default is None, False or '' was given.

    Args:
        args: Parsed options.
        name: Of the option, with `_`.
    """
    value = getattr(args, name)
    return value is not None and value is not False and value != ''


def add_inferencer_options(parser: argparse.ArgumentParser) -> None:
    """Declare what judges, and how it is opened; `inferencer_of` reads it.

    Args:
        parser: Parser to extend.
    """
    parser.add_argument('bundle', help='bundle, ONNX file of `mmfas export`, or hf://ORG/NAME')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: the first accelerator, or the CPU)')
    parser.add_argument('--no-self-test', action='store_true', help='do not score the golden sample first')
    parser.add_argument('--no-quality-gate', action='store_true', help='judge pictures that show nothing, too')


def inferencer_of(args: argparse.Namespace) -> FASInferencer:
    """Open what the options of `add_inferencer_options` name.

    Args:
        args: Parsed options.
    """
    from mmfas.deploy.inferencer import FASInferencer

    return FASInferencer(
        args.bundle,
        args.device,
        self_test=not args.no_self_test,
        quality_gate=not args.no_quality_gate,
    )


def add_config_options(parser: argparse.ArgumentParser, text: str = 'override config values: key=value') -> None:
    """Declare `--cfg-options`.

    Args:
        parser: Parser to extend.
        text: What `--help` says.
    """
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help=text)
