# The real benchmark C CASIA-CeFA, P PADISI-USC, S CASIA-SURF, W WMCA at 224 px, with its published lists.
# Data come from their owners under their licences, the lists from github.com/OMGGGGG/mmdg. Below data_root:
#   C-train.txt C-val.txt C-test.txt, the same for P, S and W
#   CeFA/CeFA-Race/AF/AF-000/1_000_1_1_1/{profile,depth,ir}/0026.jpg
#   CASIA-SURF-CROP/real_part/real_train_part/CLKJ_AS0005/real.rssdk/{color,depth,ir}/131.jpg
#   WMCA-Image/R_CDIT/002_01_000_0_00/{color,depth,ir}/0012.jpg
#   PADISI/zc7db0ae.npz    array `data` of (1, 22, 320, 256) in [0, 1]
# `mmfas data verify CONFIG` reports what is missing. Elsewhere: a link, or --cfg-options
# {train,val,test}_dataloader.dataset.data_root=... Leaves beside this file name the source and target lists.
dataset_type = 'MultiModalFaceDataset'
data_root = 'data/cpsw'

# The published trainers scale every image separately, whatever the sizes of the other two.
train_pipeline = [
    dict(type='LoadMultiModalImages', allow_size_mismatch=True),
    dict(type='ResizeModalities', scale=(224, 224)),
    dict(type='RandomFlipModalities', prob=0.5),
    dict(type='PhotometricModalities', brightness=(-40, 40), gamma=(0.5, 1.5)),
    dict(type='PackFASInputs'),
]
test_pipeline = [
    dict(type='LoadMultiModalImages', allow_size_mismatch=True),
    dict(type='ResizeModalities', scale=(224, 224)),
    dict(type='PackFASInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DomainClassBalancedSampler'),
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline),
)
# dev = the val lists of the source domains: it chooses epoch and threshold, and holds nothing of the target. (One
# frame of C-val is also in C-test, so never take C-val as dev of C.)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=test_pipeline, test_mode=True),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=test_pipeline, test_mode=True),
)
val_evaluator = dict(type='FASMetric', split='dev')
test_evaluator = dict(type='FASMetric', split='test')
