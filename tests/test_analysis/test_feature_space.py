"""Features in a plane: those of the model, the same projection as scikit-learn's or by hand, and the command."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from random_photos import RandomPhotos, photo_config
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from mmfas.analysis.feature_space import collect_features, neighbours_kept, project
from mmfas.apis.scoring import load_model
from mmfas.cli.vis.tsne import main
from mmfas.utils.errors import InputError
from mmfas.visualization.feature_plots import MARKERS, draw_features, point_style

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


def test_features_are_those_of_each_sample_alone(tmp_path: Path) -> None:
    cfg = photo_config('AMANeck', 'LinearFASHead', test=dict(absent_ir=True))
    model = load_model(cfg, None)
    torch.save(model.state_dict(), tmp_path / 'a.pth')
    table = collect_features(cfg, str(tmp_path / 'a.pth'), splits=('val', 'test'), batch_size=4)
    assert table.split.tolist() == ['val'] * 6 + ['test'] * 5
    assert table.sample_id[6:].tolist() == [f's{index}' for index in range(5)]
    assert table.pai.tolist()[6:] == ['unknown', 'live', 'unknown', 'live', 'unknown']
    assert table.rows['ir'].tolist() == [*range(6), 6, 8, 10] and table.rows['fused'].tolist() == list(range(11))
    for row in range(5):
        data = model.data_preprocessor(pseudo_collate([RandomPhotos(absent_ir=True)[row]]), False)
        with torch.no_grad():
            features = model.extract_feat(data['inputs'])
            score = model.head(features).softmax(1)[0, 1].item()
        np.testing.assert_allclose(table.features['fused'][6 + row], features.fused[0], atol=1e-5)
        np.testing.assert_allclose(table.features['rgb'][6 + row], features.per_modality[0, 0], atol=1e-5)
        assert table.score[6 + row] == pytest.approx(score, abs=1e-6)


def test_pca_is_that_of_a_plain_eigenvalue_problem() -> None:
    values = np.random.default_rng(0).normal(size=(30, 5)) * [5, 3, 1, 1, 1]
    points = project(values, method='pca')
    centred = values - values.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    expected = centred @ vectors[:, :-3:-1]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-9)
    assert project(values[:, :1], method='pca')[:, 1].tolist() == [0.0] * 30


@pytest.mark.parametrize('shape', [(30, 5), (4, 200), (60, 70)])
def test_projections_are_those_of_scikit_learn(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(1).normal(size=shape) * np.linspace(3, 1, shape[1])
    plain = PCA(2, svd_solver='full').fit_transform(values)
    np.testing.assert_allclose(project(values, method='pca'), plain, atol=1e-9)
    first = PCA(min(50, *shape), svd_solver='full').fit_transform(values)
    kept = min(30, (shape[0] - 1) / 3)
    for seed, start in ((None, 'pca'), (3, 'random')):
        layout = TSNE(perplexity=kept, init=start, random_state=seed or 0).fit_transform(first)
        np.testing.assert_array_equal(project(values, seed=seed), layout)
    assert np.abs(project(values, seed=4) - layout).max() > 1e-3
    assert neighbours_kept(shape[0], 30) == kept


def test_samples_that_are_all_alike_have_no_layout() -> None:
    with pytest.raises(InputError, match='the features of all samples are the same'):
        project(np.ones((6, 3)))
    assert project(np.ones((6, 3)), method='pca').tolist() == [[0.0, 0.0]] * 6


def test_tsne_keeps_groups_apart_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(centre, 0.1, (12, 6)) for centre in (0, 4)])
    points = project(values, seed=1)
    np.testing.assert_array_equal(points, project(values, seed=1))
    inside = np.linalg.norm(points[:12] - points[:12].mean(0), axis=1).max()
    assert np.linalg.norm(points[:12].mean(0) - points[12:].mean(0)) > inside
    for wrong, text in (
        (dict(method='umap'), 'one of'),
        (dict(perplexity=0), 'perplexity must be above 0'),
    ):
        with pytest.raises(InputError, match=text):
            project(values, **wrong)
    with pytest.raises(InputError, match='at least 4 samples, but got 3'):
        project(values[:3])
    with pytest.raises(InputError, match='are the weights whole'):
        project(np.where(values > 3, np.nan, values))


def test_a_group_has_one_colour_and_shape_everywhere_and_no_two_are_alike() -> None:
    points = {'fused': np.zeros((3, 2)), 'ir': np.ones((2, 2))}
    groups = {'domain': {'fused': list('CWS'), 'ir': list('WS')}}
    figure = draw_features(points, groups, title='Features', axis='PCA')
    fused, infrared, below = figure.axes
    assert [axes.get_title(loc='left') for axes in (fused, infrared)] == ['fused, by domain', 'ir, by domain']
    texts = [text.get_text() for text in below.get_legend().get_texts()]
    assert texts == ['C', 'S', 'W']
    assert len(infrared.collections) == 2
    styles = {tuple(point_style(index).values()) for index in range(70)}
    assert len(styles) == 70 and len(MARKERS) == 10


def test_command_writes_figure_and_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo_config('ConcatNeck', 'LinearFASHead').dump(tmp_path / 'config.py')
    options = ['--method', 'pca', '--out-dir', str(tmp_path / 'out'), '--max-samples', '5']
    assert main([str(tmp_path / 'config.py'), *options]) == 0
    assert '5 of val, 5 of test; fused, rgb, depth, ir' in capsys.readouterr().out
    with open(tmp_path / 'out' / 'pca.csv', encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 10 and {row['feature'] for row in rows} == {'fused', 'rgb', 'depth', 'ir'}
    assert (tmp_path / 'out' / 'pca.png').stat().st_size > 5000


def test_command_says_what_it_changed_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = photo_config('ConcatNeck', 'LinearFASHead', test=dict(absent_ir=True))
    cfg.dump(tmp_path / 'config.py')
    call = [str(tmp_path / 'config.py'), '--splits', 'test', '--out-dir', str(tmp_path / 'out')]
    assert main([*call, '--perplexity', '20']) == 0
    text = capsys.readouterr().out
    assert (
        '5 of test; fused, rgb, depth\n' in text and '* ir: 3 samples have it, at least 4 make a picture.' in text
    )
    assert 'Perplexity 20 is more than a third of the samples, so it was lowered: fused 1.33, rgb 1.33' in text
    with pytest.raises(SystemExit):
        main([*call, '--method', 'pca', '--seed', '1'])
    assert '--perplexity and --seed are of t-SNE' in capsys.readouterr().err
    assert main([*call, '--max-samples', '3']) == 1
    assert 'at least 4 samples, but got 3' in capsys.readouterr().err
