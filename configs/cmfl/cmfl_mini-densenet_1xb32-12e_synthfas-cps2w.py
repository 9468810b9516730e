# RGBD-MH made small, with a third modality: a narrow DenseNet for each, a sigmoid before the classifiers.
_base_ = [
    '../_base_/models/rgbd_mh_densenet161.py',
    '../_base_/datasets/synthfas_p1_cps2w.py',
    '../_base_/schedules/adamw_12e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    modalities=('rgb', 'depth', 'ir'),
    trunk=dict(
        cnn=dict(
            _delete_=True,
            type='mmpretrain.DenseNet',
            arch=dict(growth_rate=12, depths=[4, 8, 1], init_channels=24),
        )
    ),
)
