# Pretrains the trunk of mini_vit.py: from the tokens of all modalities, a decoder restores what was masked.
_base_ = '../models/mini_vit.py'

model = dict(
    _delete_=True,
    type='MaskedMultiModalPretrainer',
    modalities=('rgb', 'depth', 'ir'),
    data_preprocessor=dict(type='FASDataPreprocessor'),
    trunk={{_base_.model.trunk}},
    decoder=dict(type='CrossModalDecoder', patch_size=16, dims=128, num_layers=2, num_heads=4),
)
