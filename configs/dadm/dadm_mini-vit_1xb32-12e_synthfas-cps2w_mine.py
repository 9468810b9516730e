# The mutual-information term is a trained estimate, which does depend on what two modalities have in common.
_base_ = '../_base_/dadm_mini_vit_synthfas.py'

model = dict(neck=dict(mutual_information=dict(kind='mine')))
