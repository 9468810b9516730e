# The concatenation baseline with its neck replaced by that of this project.
_base_ = '../../../configs/baselines/concat_mini-vit_1xb32-12e_synthfas-cps2w.py'
custom_imports = dict(imports=['projects.example_project'], allow_failed_imports=False)
model = dict(neck=dict(_delete_=True, type='GatedMeanNeck'))
