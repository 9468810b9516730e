"""The model index names every config truthfully, and models are built by name."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path

import fill_metafiles
import pytest
import torch
import yaml
from mmengine.config import Config

from mmfas.apis import ModelEntry, get_model, list_models, model_entry
from mmfas.apis.model_index import read_model_index
from mmfas.models.fas import MultiModalFAS
from mmfas.utils.checkpoint import CheckpointError

REPO = Path(__file__).resolve().parents[2]
CONCAT = 'concat_mini-vit_1xb32-12e_synthfas-cps2w'
LONG_NAMES = {'c': 'CASIA-CeFA', 'p': 'PADISI-USC', 's': 'CASIA-SURF', 'w': 'WMCA'}
INDEX = read_model_index()


def test_every_model_is_listed() -> None:
    assert list_models() == sorted(INDEX)
    assert len(INDEX) >= 49
    assert {entry.collection for entry in INDEX.values()} >= {'Baselines', 'AMA', 'MMDG', 'BIG-MoE', 'MMDA'}
    assert all(entry.config.is_file() and entry.config.stem == name for name, entry in INDEX.items())


#: What is pretrained without labels has no source and no target.
PRETRAINED = [name for name in INDEX if name.endswith('_synthfas-sites')]


@pytest.mark.parametrize('name', [name for name in INDEX if name not in PRETRAINED])
def test_entries_tell_what_their_config_does(name: str) -> None:
    entry = INDEX[name]
    family, sources, target = re.search(r'_(cpsw|synthfas)-([cpsw]+)2([cpsw]+)', name).groups()
    arrow = f'{sources.upper()} to {target.upper()}'
    benchmark = {'cpsw': 'CPSW', 'synthfas': 'SynthFAS'}[family]
    assert entry.results == (f'{benchmark} P1 {arrow}',)
    real = ', '.join(LONG_NAMES[letter] for letter in sources)
    assert entry.training_data == (real if family == 'cpsw' else 'SynthFAS')
    cfg = Config.fromfile(entry.config)
    lists = [Path(file).stem for file in cfg.train_dataloader.dataset.ann_file]
    assert [file[0].lower() for file in lists] == list(sources)


@pytest.mark.parametrize(
    'file', sorted((REPO / 'configs').glob('*/metafile.yml')), ids=lambda path: path.parent.name
)
def test_collections_name_files_that_exist(file: Path) -> None:
    content = yaml.safe_load(file.read_text(encoding='utf-8'))
    used = {model['In Collection'] for model in content['Models']}
    assert used == {collection['Name'] for collection in content['Collections']}
    for collection in content['Collections']:
        assert (file.parent / collection['README']).is_file()  # relative, as `mi check` reads it
        assert (REPO / collection['Code']['URL']).is_file()


def test_every_entry_has_its_size_and_metrics() -> None:
    seen = set()
    for file in sorted((REPO / 'configs').glob('*/metafile.yml')):
        for model in yaml.safe_load(file.read_text(encoding='utf-8'))['Models']:
            assert model['Metadata']['Parameters'] > 0 and model['Metadata']['FLOPs'] > 0, model['Name']
            (result,) = model['Results']
            assert bool(result['Metrics']) == ('Records' in result), model['Name']
            seen |= {model['Name']} if result['Metrics'] else set()
    main = {name for name in seen if name.endswith('synthfas-cps2w_pretrained-finetuned')}
    assert len(main) == 11 and seen >= {CONCAT, f'{CONCAT}_pretrained-frozen'}


def test_the_program_that_fills_metafiles_finds_what_is_in_them() -> None:
    records = fill_metafiles.read_records(REPO / 'benchmarks')
    measured = fill_metafiles.sizes_of(
        [CONCAT, 'concat_resnet18_1xb32-12e_synthfas-cps2w']
    )  # without values, with
    for file in sorted((REPO / 'configs').glob('*/metafile.yml')):
        text = file.read_text(encoding='utf-8')
        assert fill_metafiles.filled(text, measured, records) == text
    wrong = text.replace('Parameters: ', 'Parameters: 9').replace('Metrics: {}', 'Metrics: {HTER: 1.0}')
    assert fill_metafiles.filled(wrong, {}, records).replace('Parameters: 9', 'Parameters: ') == text


def test_patterns_and_collections() -> None:
    assert list_models('mmdg_vit-b16*') == sorted(n for n in INDEX if n.startswith('mmdg_vit-b16'))
    assert list_models('*_released') == sorted(n for n in INDEX if n.endswith('_released'))
    assert list_models('AMA') == []
    regimes = ('', '_pretrained-finetuned', '_pretrained-frozen')
    assert list_models(collection='AMA') == [
        f'ama_mini-vit_1xb32-12e_synthfas-cps2w{regime}' for regime in regimes
    ]
    assert list_models(collection='Masked pretraining') == sorted(PRETRAINED)
    with pytest.raises(ValueError, match="there is no collection 'mmdg'; known are AMA, BIG-MoE"):
        list_models(collection='mmdg')


def test_unknown_names_get_the_nearest() -> None:
    entry = model_entry(CONCAT)
    assert isinstance(entry, ModelEntry) and (entry.collection, entry.paper) == ('Baselines', '')
    assert model_entry('ama_mini-vit_1xb32-12e_synthfas-cps2w').paper.endswith('2302.05744')
    with pytest.raises(
        ValueError, match="has no 'mmda_mini-v'; did you mean mmda_mini-vit_1xb32-12e_synthfas-cps2w or"
    ):
        get_model('mmda_mini-v')
    with pytest.raises(ValueError, match=f"'concat_minivit_1xb32-12e_synthfas-cps2w'; did you mean {CONCAT} or"):
        get_model('concat_minivit_1xb32-12e_synthfas-cps2w')
    with pytest.raises(ValueError, match=r"has no '\?'; list_models\(\) has all names"):
        get_model('?')
    with pytest.raises(FileNotFoundError, match=r"config 'no\.py' does not exist"):
        get_model('no.py')


@pytest.mark.engine
def test_model_by_name_file_and_config_are_the_same(tmp_path: Path) -> None:
    by_name = get_model(CONCAT, 'random')
    assert isinstance(by_name, MultiModalFAS) and not by_name.training
    torch.save({'state_dict': by_name.state_dict()}, tmp_path / 'weights.pth')
    cfg = Config.fromfile(INDEX[CONCAT].config)
    for given in (INDEX[CONCAT].config, str(INDEX[CONCAT].config), cfg):
        model = get_model(given, tmp_path / 'weights.pth', device='cpu')
        for key, value in model.state_dict().items():
            torch.testing.assert_close(value, by_name.state_dict()[key], rtol=0, atol=0)
    assert by_name.cfg.model.neck.type == cfg.model.neck.type == 'ConcatNeck'


@pytest.mark.engine
def test_options_change_a_copy_and_misfits_are_refused(tmp_path: Path) -> None:
    cfg = Config.fromfile(INDEX[CONCAT].config)
    model = get_model(cfg, 'random', cfg_options={'model.data_preprocessor.fill': 'zero'})
    assert model.cfg.model.data_preprocessor.fill == 'zero' != cfg.model.data_preprocessor.get('fill')
    torch.save(model.state_dict(), tmp_path / 'concat.pth')
    with pytest.raises(CheckpointError, match=r'concat\.pth.* does not fit'):
        get_model('cross-attention_mini-vit_1xb32-12e_synthfas-cps2w', tmp_path / 'concat.pth')
    with pytest.raises(FileNotFoundError):
        get_model(cfg, tmp_path / 'none.pth')


@pytest.mark.engine
def test_random_weights_are_asked_for_or_warned_about(tmp_path: Path) -> None:
    cfg = Config.fromfile(INDEX[CONCAT].config)
    with pytest.warns(UserWarning, match=f"{CONCAT}.py has random weights, .* or weights='random'"):
        get_model(cfg)
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        model = get_model(cfg, 'random')
        torch.save(model.state_dict(), tmp_path / 'random')
        again = get_model(cfg, str(tmp_path / 'random'))
    assert torch.equal(*(m.head.classifier.weight for m in (model, again)))


def write_index(folder: Path, model: dict) -> Path:
    """Write an index with one metafile of one model."""
    content = {'Collections': [{'Name': 'Mine'}], 'Models': [model]}
    (folder / 'metafile.yml').write_text(yaml.safe_dump(content))
    (folder / 'model-index.yml').write_text('Import: [metafile.yml]')
    return folder / 'model-index.yml'


def test_incomplete_metafiles_are_named(tmp_path: Path) -> None:
    model = {
        'Name': 'a',
        'In Collection': 'Mine',
        'Config': 'a.py',
        'Metadata': {'Training Data': 'x'},
        'Results': [{'Dataset': 'y'}],
    }
    expected = ModelEntry('a', 'Mine', tmp_path / 'a.py', 'x', ('y',))
    assert read_model_index(write_index(tmp_path, model)) == {'a': expected}
    with pytest.raises(ValueError, match=r"metafile\.yml': 'Config' is missing"):
        read_model_index(write_index(tmp_path, {k: v for k, v in model.items() if k != 'Config'}))
    with pytest.raises(ValueError, match="'Yours' is missing"):
        read_model_index(write_index(tmp_path, {**model, 'In Collection': 'Yours'}))


def test_listing_builds_and_imports_no_model() -> None:
    code = (
        'import sys; from mmfas.apis import list_models; assert list_models(); '
        'print([m for m in ("mmfas.models", "mmpretrain", "torchvision") if m in sys.modules])'
    )
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == '[]'
