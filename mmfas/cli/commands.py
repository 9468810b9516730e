"""The table of commands: what `mmfas --help` lists, and the names of earlier versions."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple


class Group(NamedTuple):
    """Commands of two words: what they are for, and second word -> what the command does."""

    purpose: str
    commands: dict[str, str]


#: Task of the user -> first word -> what it does, or its group. `mmfas A B` runs `main` of
#: mmfas/cli/A/B.py: a new command is one line here, and that file.
SECTIONS: dict[str, dict[str, str | Group]] = {
    'Run experiments': {
        'train': 'train a model from a config',
        'test': 'score test sets with a checkpoint; writes score files, report and plots',
        'check': 'find every mistake in a config before anything runs',
        'list': 'list the registered parts, one line each',
        'print_config': 'print a config with everything it inherits',
        'benchmark': 'run methods over protocols, splits and seeds; make tables of their records',
    },
    'Prepare data, judge scores': {
        'data': Group(
            'prepare data sets and look at them',
            {
                'render': 'render SynthFAS, the embedded synthetic benchmark',
                'sites': 'render random sites: to pretrain on without labels, and held-out ones with',
                'convert': 'bring CASIA-CeFA, PADISI-USC, CASIA-SURF or WMCA into the layout of its lists',
                'crop': 'cut the faces out of your own recordings, the same box in all modalities',
                'verify': 'report every missing, broken or odd-sized image',
                'browse': 'draw samples as they leave the pipeline',
                'protocols': 'check the published lists, or derive those of other protocols',
                'overlap': 'find the samples that two lists have in common, exact or alike',
                'kfold': 'divide a data set into folds by subject',
                'pack': 'pack the pictures of lists into one file',
            },
        ),
        'scores': Group(
            'judge score files',
            {
                'eval': 'recompute every error rate from score files',
                'plot': 'draw ROC, DET and histograms of score files',
                'report': 'write one HTML page of score files, with curves and worst samples',
                'ensemble': 'join the scores of several systems for the same samples',
                'simulate': 'make scores whose true error rates are known',
                'pool': 'join the scores of folds, each at the threshold of its own dev scores',
                'leaderboard': 'write the page of published numbers',
            },
        ),
    },
    'Use a model': {
        'bundle': 'make one file that is enough to decide, or show one',
        'predict': 'judge pictures, folders, videos and cameras with a bundle',
        'export': 'write a bundle as an ONNX file or a program of torch.export',
        'serve': 'judge pictures over HTTP',
        'demo': 'open a page that judges pictures and shows why',
    },
    'Look into a model': {
        'vis': Group(
            'draw what a model does',
            {
                'uncertainty': 'draw the uncertainty of a model over its images',
                'experts': 'draw which experts a model selects, and where',
                'anchors': 'draw attention, lambda and cosines to the anchors of MMDA',
                'cam': 'draw where a model looks, by Grad-CAM or attention rollout',
                'tsne': 'draw the features of a model in a plane, by domain and instrument',
                'worst': 'draw the worst accepted attacks and rejected live faces of score files',
                'schedule': 'draw the learning rate of a config before it runs',
                'logs': 'plot or summarise the curves of training logs',
            },
        ),
        'measure': Group(
            'measure speed, size, and what a score depends on',
            {
                'speed': 'time a model beside its plain trunk, or two models',
                'latency': 'time a verdict of a bundle, in torch and as ONNX',
                'loading': 'time the loading of a data set, part by part',
                'flops': 'count parameters and floating point operations of a model',
                'batch': 'show that a score does not depend on the other samples of its batch',
                'probe': 'measure how far a linear classifier on the frozen features of a trunk gets',
                'leakage': 'measure what a method gains from the other samples of its batch',
                'gpu': 'check a GPU: correctness, training, scoring, data path, SynthFAS',
            },
        ),
    },
    'Make weights': {
        'weights': Group(
            'make, convert and publish files of weights',
            {
                'convert': 'convert weights of torchvision, timm, DINOv2, CLIP, ... or a released method',
                'trunk': 'take the trunk out of a checkpoint, as the file that `pretrained` names',
                'publish': 'strip a checkpoint and name it by its hash',
                'prompts': 'encode prompts with the text tower of CLIP, once',
                'bank': 'store the references of MD2A in a checkpoint',
            },
        ),
    },
}

#: First word -> what it does, or its group.
TOP: dict[str, str | Group] = {name: entry for section in SECTIONS.values() for name, entry in section.items()}

#: Every command -> what it does.
COMMANDS: dict[str, str] = {
    ' '.join(words): text
    for name, entry in TOP.items()
    for words, text in (
        [((name, word), text) for word, text in entry.commands.items()]
        if isinstance(entry, Group)
        else [((name,), entry)]
    )
}

#: Names that commands had before they were sorted into groups. They work until `OLD_NAMES_END`.
OLD_NAMES = {
    'browse_dataset': 'data browse',
    'verify_dataset': 'data verify',
    'verify_protocols': 'data protocols',
    'convert_cefa': 'data convert cefa',
    'convert_padisi': 'data convert padisi',
    'convert_casia_surf': 'data convert casia_surf',
    'convert_wmca': 'data convert wmca',
    'crop_faces': 'data crop',
    'render_synthfas': 'data render',
    'eval_scores': 'scores eval',
    'plot_scores': 'scores plot',
    'leaderboard': 'scores leaderboard',
    'vis_experts': 'vis experts',
    'vis_uncertainty': 'vis uncertainty',
    'vis_anchors': 'vis anchors',
    'analyze_logs': 'vis logs',
    'get_flops': 'measure flops',
    'measure_speed': 'measure speed',
    'measure_loading': 'measure loading',
    'check_batch_independence': 'measure batch',
    'measure_batch_leakage': 'measure leakage',
    'publish_model': 'weights publish',
    'convert_weights': 'weights convert',
    'fill_reference_bank': 'weights bank',
    'encode_prompts': 'weights prompts',
    'released_mmda_to_mmfas': 'weights convert released_mmda',
    'released_mmdg_to_mmfas': 'weights convert released_mmdg',
    'released_big_moe_to_mmfas': 'weights convert released_big_moe',
}
OLD_NAMES_END = 'version 0.2'

#: Commands that became projects, which an installed wheel does not have.
MOVED_TO_PROJECTS = {
    'measure_experts': 'expert_cost',
    'study_batch_leakage': 'batch_leakage_study',
    'synthfas_study': 'synthfas_study',
}


def module_of(name: str) -> str:
    """Return the module with the `main` of a command.

    >>> module_of('data verify')
    'mmfas.cli.data.verify'
    """
    return f'mmfas.cli.{name.replace(" ", ".")}'


def find_command(words: Sequence[str]) -> str:
    """Return the command that a command line starts with, or nothing.

    >>> find_command(['data', 'verify', 'config.py']), find_command(['print-config']), find_command(['data'])
    ('data verify', 'print_config', '')
    """
    names = [word.replace('-', '_') for word in words[:2]]
    return next((name for name in (' '.join(names), *names[:1]) if name in COMMANDS), '')


def suggest(word: str, group: str = '') -> str:
    """Say what may be meant by a word that is not a command.

    Args:
        word: The word.
        group: The group it was looked for in; nothing for the first word of a command line.

    Returns:
        The nearest commands; the known ones where none is near.

    >>> suggest('tran'), suggest('verfy', 'data'), suggest('eval')
    ('did you mean train?', 'did you mean data verify?', 'did you mean scores eval?')
    """
    entry = TOP.get(group)
    inside = entry.commands if isinstance(entry, Group) else ()
    near = [f'{group} {name}' for name in get_close_matches(word, inside, n=1)]
    if not near:
        meant = {name: [name] for name in TOP}
        for name in COMMANDS:
            meant.setdefault(name.rpartition(' ')[2], []).append(name)
        meant.update({old: [new] for old, new in OLD_NAMES.items() if old not in meant})
        near = [name for key in get_close_matches(word, meant, n=1) for name in meant[key]]
    return f'did you mean {" or ".join(dict.fromkeys(near))}?' if near else f'known: {", ".join(inside or TOP)}'
