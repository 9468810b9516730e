# Variant: losses that spread the rows over the experts and keep the scores of the router small.
_base_ = '../_base_/big_moe_mini_vit_synthfas.py'

model = dict(neck=dict(losses=dict(balance=0.01, router_z=0.001)))
