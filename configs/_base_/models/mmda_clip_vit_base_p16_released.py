# MMDA on CLIP ViT-B/16 with the arithmetic of the public code, for comparison only (configs/mmda/README.md).
_base_ = './mmda_clip_vit_base_p16.py'

routing = dict(sampled_second=True, balance_per_sample=True)
model = dict(
    neck=dict(reference='first', mask_absent=False, experts=routing),
    head=dict(
        loss=dict(type='UnnormalizedSmoothingLoss', smoothing=0.1),
        u_dsa=dict(up='parallel', doubled_skip=True, across_batch=True, experts=routing),
        classifier=routing,
    ),
)
