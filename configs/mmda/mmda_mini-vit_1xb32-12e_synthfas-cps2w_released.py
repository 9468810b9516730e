# The arithmetic of the public code, for comparison only; README.md has one line for each difference.
_base_ = '../_base_/mmda_mini_vit_synthfas.py'

routing = dict(sampled_second=True, balance_per_sample=True)
model = dict(
    neck=dict(reference='first', mask_absent=False, experts=routing),
    head=dict(
        loss=dict(type='UnnormalizedSmoothingLoss', smoothing=0.1),
        u_dsa=dict(up='parallel', doubled_skip=True, across_batch=True, experts=routing),
        classifier=routing,
    ),
)
