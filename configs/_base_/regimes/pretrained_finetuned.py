# Regime `pretrained-finetuned`: everything is trained, the trunk at a tenth of the rate and without weight decay.
# Taken as `model = dict(trunk=_base_.finetuned_trunk)` with `paramwise_cfg=_base_.finetuned_rates`.
finetuned_trunk = dict(pretrained='mmfas://mini_vit')
finetuned_rates = dict(custom_keys=dict(trunk=dict(lr_mult=0.1, decay_mult=0.0)))
