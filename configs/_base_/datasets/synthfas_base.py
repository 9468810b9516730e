# SynthFAS, the embedded synthetic benchmark, at 64 px. Render it first:
#   mmfas data render data/synthfas_small --size small
# Leaves beside this file say which lists are source (train, val) and target (test).
dataset_type = 'MultiModalFaceDataset'
data_root = 'data/synthfas_small'
meta_file = 'protocols/records.csv'

train_pipeline = [
    dict(type='LoadMultiModalImages'),
    dict(type='RandomResizedCropModalities', scale=(64, 64), area_range=(0.8, 1.0), ratio_range=(0.95, 1.05)),
    dict(type='RandomFlipModalities', prob=0.5),
    # Milder than the published +-40 and 0.5..1.5: the renderer draws exposure and contrast per video already.
    dict(type='PhotometricModalities', brightness=(-15, 15), gamma=(0.75, 1.33)),
    dict(type='PackFASInputs'),
]
test_pipeline = [
    dict(type='LoadMultiModalImages'),
    dict(type='ResizeModalities', scale=(64, 64)),
    dict(type='PackFASInputs'),
]

# Batches are stacked in the workers: three tensors travel instead of three per sample.
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DomainClassBalancedSampler'),
    dataset=dict(type=dataset_type, data_root=data_root, meta_file=meta_file, pipeline=train_pipeline),
)
# dev = the val lists of the source domains: it chooses epoch and threshold, and holds nothing of the target.
val_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type, data_root=data_root, meta_file=meta_file, pipeline=test_pipeline, test_mode=True
    ),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type, data_root=data_root, meta_file=meta_file, pipeline=test_pipeline, test_mode=True
    ),
)
val_evaluator = dict(type='FASMetric', split='dev')
test_evaluator = dict(type='FASMetric', split='test')
