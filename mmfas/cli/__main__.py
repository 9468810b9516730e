"""The command `mmfas`: a table of commands, each imported only when it runs."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module

from mmfas.cli.errors import TRACEBACK_VARIABLE, reports_user_errors

#: Name, module with `main(argv)`, what it does.
COMMANDS: tuple[tuple[str, str, str], ...] = (
    ('train', 'mmfas.cli.train', 'train a model from a config'),
    ('test', 'mmfas.cli.test', 'score test sets with a checkpoint; writes score files, report and plots'),
    ('benchmark', 'mmfas.cli.benchmark', 'run methods over protocols, splits and seeds; tables from records'),
    ('check', 'mmfas.cli.check', 'find every mistake in a config before anything runs'),
    ('list', 'mmfas.cli.list_parts', 'list the registered parts, one line each'),
    ('print_config', 'mmfas.cli.print_config', 'print a config with everything it inherits'),
    ('browse_dataset', 'mmfas.cli.browse_dataset', 'draw samples as they leave the pipeline'),
    ('verify_dataset', 'mmfas.cli.verify_dataset', 'report every missing, broken or odd-sized image'),
    ('verify_protocols', 'mmfas.cli.verify_protocols', 'check the published lists: counts, repeats, leaks, files'),
    ('convert_cefa', 'mmfas.cli.convert_cefa', 'bring CASIA-CeFA into the layout of its lists'),
    ('convert_padisi', 'mmfas.cli.convert_padisi', 'bring PADISI-USC into the layout of its lists'),
    (
        'convert_casia_surf',
        'mmfas.cli.convert_casia_surf',
        'bring CASIA-SURF into the layout of its lists',
    ),
    ('convert_wmca', 'mmfas.cli.convert_wmca', 'bring WMCA into the layout of its lists'),
    ('crop_faces', 'mmfas.cli.crop_faces', 'cut the faces out of own footage, all modalities alike'),
    ('render_synthfas', 'mmfas.cli.render_synthfas', 'render SynthFAS, the embedded synthetic benchmark'),
    ('synthfas_study', 'mmfas.cli.synthfas_study', 'measure how hard SynthFAS is and what its dials do'),
    ('eval_scores', 'mmfas.cli.eval_scores', 'recompute every error rate from score files'),
    ('plot_scores', 'mmfas.cli.plot_scores', 'draw ROC, DET and histograms of score files'),
    ('leaderboard', 'mmfas.cli.leaderboard', 'write the page of published numbers'),
    ('vis_experts', 'mmfas.cli.vis_experts', 'draw which experts a model takes, and where'),
    ('vis_uncertainty', 'mmfas.cli.vis_uncertainty', 'draw how unsure a model is, over its pictures'),
    ('vis_anchors', 'mmfas.cli.vis_anchors', 'draw attention, lambda and cosines to the anchors of MMDA'),
    ('get_flops', 'mmfas.cli.get_flops', 'count parameters and floating point operations of a model'),
    ('measure_speed', 'mmfas.cli.measure_speed', 'time a model beside its plain trunk, or two models'),
    ('measure_loading', 'mmfas.cli.measure_loading', 'time the loading of a data set, part by part'),
    ('measure_experts', 'mmfas.cli.measure_experts', 'time product-key experts by their number, and updates'),
    ('analyze_logs', 'mmfas.cli.analyze_logs', 'plot or summarise the curves of training logs'),
    (
        'check_batch_independence',
        'mmfas.cli.check_batch_independence',
        'show that a score does not depend on the other samples of its batch',
    ),
    (
        'measure_batch_leakage',
        'mmfas.cli.measure_batch_leakage',
        'measure what a method gains from the other samples of its batch',
    ),
    (
        'study_batch_leakage',
        'mmfas.cli.study_batch_leakage',
        'train methods and measure what they gain from their batch',
    ),
    ('publish_model', 'mmfas.cli.publish_model', 'strip a checkpoint and name it by its hash'),
    ('convert_weights', 'mmfas.cli.convert_weights', 'convert torchvision, timm or CLIP weights for a trunk'),
    ('fill_reference_bank', 'mmfas.cli.fill_reference_bank', 'store the references of MD2A in a checkpoint'),
    ('encode_prompts', 'mmfas.cli.encode_prompts', 'encode prompts with the text tower of CLIP, once'),
    (
        'released_mmda_to_mmfas',
        'mmfas.cli.released_mmda_to_mmfas',
        'convert weights of the released MMDA adaptor, or back',
    ),
    (
        'released_mmdg_to_mmfas',
        'mmfas.cli.released_mmdg_to_mmfas',
        'convert weights of the released MMDG, or back',
    ),
    (
        'released_big_moe_to_mmfas',
        'mmfas.cli.released_big_moe_to_mmfas',
        'convert weights of the released BIG-MoE, or back',
    ),
)


def usage() -> str:
    """Return the help text: every command with its one line."""
    width = max(len(name) for name, _, _ in COMMANDS)
    rows = [f'  {name:<{width}}  {text}' for name, _, text in COMMANDS]
    return '\n'.join(
        (
            'usage: mmfas COMMAND [ARGUMENTS]',
            '',
            *rows,
            '',
            '`mmfas COMMAND --help` explains one of them.',
            f'{TRACEBACK_VARIABLE}=1 in the environment shows where an error comes from.',
        )
    )


@reports_user_errors()
def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Command and its arguments; those of the process if None.

    Returns:
        Exit status; 2 for an unknown command.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if not arguments or arguments[0] in ('-h', '--help', 'help'):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == '--version':
        from mmfas.version import __version__

        print(f'mmfas {__version__}')
        return 0
    name = arguments[0].replace('-', '_')
    modules = {command: module for command, module, _ in COMMANDS}
    if name not in modules:
        near = difflib.get_close_matches(name, modules, n=1)
        hint = f'did you mean {near[0]}?' if near else f'known: {", ".join(modules)}'
        print(f"mmfas: there is no command '{arguments[0]}'; {hint}", file=sys.stderr)
        return 2
    return import_module(modules[name]).main(arguments[1:])


if __name__ == '__main__':
    sys.exit(main())
