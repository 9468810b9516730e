"""The table of claims, and the trainings and cells that it needs, each once.

A cell is one training scored under one condition; trainings and cells that several claims need are shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from mmfas.apis.model_index import configs_folder
from mmfas.synthfas import Stress, parse_stress
from mmfas.utils.errors import InputError

TABLE = Path(__file__).with_name('claims.yml')
#: Regime that the cells are run in unless another one is named: that of the papers.
REGIME = 'pretrained-frozen'
REGIMES = ('scratch', 'pretrained-frozen', 'pretrained-finetuned')
#: Setting in a file of `configs/_base_/regimes` -> the place in a config that takes it.
_PLACES = {
    'frozen_trunk': 'model.trunk',
    'finetuned_trunk': 'model.trunk',
    'finetuned_rates': 'optim_wrapper.paramwise_cfg',
}
#: Data as they are, to train on or to test on.
CLEAN = 'clean'
#: The val lists of the domains that were trained on, as they are; nothing is scored, features are read.
SOURCES = 'sources'
MEASURES = ('auc', 'domain')
SIDES = ('higher', 'lower')
#: Data trained on and data tested on.
Condition = tuple[str, str]


@dataclass(frozen=True)
class Arm:
    """A config of one side of a comparison.

    Args:
        name: What it is called in files and tables.
        config: Config from scratch, below `configs`.
        options: Values that replace those of the config, by dotted key.
    """

    name: str
    config: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def load(self, regime: str) -> Config:
        """Read the config in a regime.

        Args:
            regime: One of `REGIMES`.
        """
        cfg = Config.fromfile(configs_folder() / self.config)
        cfg.merge_from_dict(_settings_of(regime))
        cfg.merge_from_dict(dict(self.options))
        return cfg


@dataclass(frozen=True)
class Training:
    """One training.

    Args:
        arm: What is trained.
        train: Data trained on.
        split: Split of Protocol 1.
        seed: Its seed.
    """

    arm: Arm
    train: str
    split: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f'{self.arm.name}_{slug(self.train)}_{self.split}_seed{self.seed}'


@dataclass(frozen=True)
class Cell:
    """One training under one condition.

    Args:
        training: The training.
        test: Data tested on.
    """

    training: Training
    test: str

    @property
    def name(self) -> str:
        """Name of its record."""
        return f'{self.training.name}_on_{slug(self.test)}'


@dataclass(frozen=True)
class Claim:
    """A claim, the experiment that tests it, and what would support it; `claims.yml` explains the keys.

    Args:
        name: What it is called.
        arms: First arm and second arm.
        measure: `'auc'` or `'domain'`.
        claimed: `'higher'` or `'lower'`: what the first arm is to be.
        conditions: What values are averaged over.
        against: What is subtracted, if anything.
        paper: Whose claim it is.
        texts: `where`, `claim` and `experiment`, by language.
    """

    name: str
    arms: tuple[Arm, Arm]
    measure: str
    claimed: str
    conditions: tuple[Condition, ...]
    against: Condition | None
    paper: str
    texts: Mapping[str, Mapping[str, str]] = field(hash=False)

    @property
    def all_conditions(self) -> tuple[Condition, ...]:
        """Every condition that a value is needed of."""
        return (*self.conditions, *([self.against] if self.against else []))


@dataclass(frozen=True)
class Claims:
    """All claims, and what they have in common.

    Args:
        claims: The claims, in the order of the table.
        splits: Splits of Protocol 1 that are averaged over.
        seeds: Seeds that were planned.
        confidence: Level of the intervals.
    """

    claims: tuple[Claim, ...]
    splits: tuple[str, ...]
    seeds: tuple[int, ...]
    confidence: float

    def select(self, names: Iterable[str] | None) -> Claims:
        """Keep some claims.

        Args:
            names: Their names; None for all.

        Raises:
            ValueError: If there is no such claim.
        """
        wanted = {claim.name for claim in self.claims} if names is None else set(names)
        if unknown := sorted(wanted - {claim.name for claim in self.claims}):
            known = ', '.join(claim.name for claim in self.claims)
            raise InputError(f"there is no claim '{unknown[0]}'; there are {known}")
        chosen = tuple(claim for claim in self.claims if claim.name in wanted)
        return Claims(chosen, self.splits, self.seeds, self.confidence)


def _settings_of(regime: str) -> dict[str, Any]:
    """Return what a regime changes in a config from scratch, by dotted key; its file of `configs` decides."""
    if regime == 'scratch':
        return {}
    file = configs_folder() / '_base_' / 'regimes' / f'{regime.replace("-", "_")}.py'
    return {_PLACES[name]: value for name, value in Config.fromfile(file).items()}


def slug(text: str) -> str:
    """Return a condition as part of a file name.

    >>> slug('dark_rgb=1,depth_dropout=1')
    'dark_rgb-1+depth_dropout-1'
    """
    return text.replace('=', '-').replace(',', '+')


def stress_of(text: str) -> Stress:
    """Return the perturbations that a condition names; none for clean data.

    Args:
        text: `'clean'`, `'sources'`, or perturbations such as `'dark_ir=1'`, with commas between them.

    Raises:
        ValueError: If there is no such perturbation.
    """
    return Stress() if text in (CLEAN, SOURCES) else parse_stress(text.split(','))


def read_claims(path: str | Path = TABLE) -> Claims:
    """Read the table of claims.

    Args:
        path: File of the table.

    Raises:
        ValueError: If a name is there twice, or a claim names an arm, measure, side or perturbation that is not
            known.
    """
    content = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    arms = {name: Arm(name, **entry) for name, entry in content['arms'].items()}
    claims = tuple(_claim(entry, arms) for entry in content['claims'])
    if len({claim.name for claim in claims}) < len(claims):
        raise InputError(f"'{path}': a claim is there twice; give each an id of its own")
    return Claims(claims, tuple(content['splits']), tuple(content['seeds']), content['confidence'])


def _claim(entry: dict[str, Any], arms: Mapping[str, Arm]) -> Claim:
    """Read one claim."""
    name, measure, claimed = entry['id'], entry['measure'], entry['claimed']
    for value, known in ((measure, MEASURES), (claimed, SIDES), *((arm, tuple(arms)) for arm in entry['arms'])):
        if value not in known:
            raise InputError(f"claim '{name}': '{value}' is unknown; choose from {', '.join(known)}")
    first, second = (arms[arm] for arm in entry['arms'])
    conditions = tuple((train, test) for train, test in entry['conditions'])
    against = entry.get('against')
    claim = Claim(
        name=name,
        arms=(first, second),
        measure=measure,
        claimed=claimed,
        conditions=conditions,
        against=(against[0], against[1]) if against else None,
        paper=entry['paper'],
        texts={key: entry[key] for key in ('where', 'claim', 'experiment')},
    )
    for text in (text for condition in claim.all_conditions for text in condition):
        stress_of(text)
    return claim


def cells_of(claims: Claims, seeds: Sequence[int]) -> list[Cell]:
    """List the cells, each once, seed by seed, so that whole seeds are there as early as possible.

    Args:
        claims: The claims.
        seeds: Seeds of the trainings.
    """
    return list(
        dict.fromkeys(
            Cell(Training(arm, train, split, seed), test)
            for seed in dict.fromkeys(seeds)
            for claim in claims.claims
            for train, test in claim.all_conditions
            for arm in claim.arms
            for split in claims.splits
        )
    )


def by_training(cells: Iterable[Cell]) -> dict[Training, list[Cell]]:
    """Group cells by their training, in the order of their first cells."""
    groups: dict[Training, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.training, []).append(cell)
    return groups
