# The concatenation baseline with the head and the loss of this project.
_base_ = '../../../configs/baselines/concat_mini-vit_1xb32-12e_synthfas-cps2w.py'
custom_imports = dict(imports=['projects.example_head'], allow_failed_imports=False)
model = dict(
    head=dict(
        _delete_=True, type='CosineMarginHead', scale=10.0, loss=dict(type='MarginCrossEntropyLoss', margin=1.0)
    )
)
