# CASIA-SURF by itself, tested with every subset of its modalities; one threshold, from dev with all of them.
_base_ = './cpsw_intra_s.py'

extra_test_dataloaders = {
    f'no-{"-".join(missing)}': dict(
        batch_size=64,
        num_workers=8,
        persistent_workers=True,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='MultiModalFaceDataset',
            data_root='data/cpsw',
            ann_file=['S-test.txt'],
            pipeline=[
                dict(type='LoadMultiModalImages', allow_size_mismatch=True),
                dict(type='ResizeModalities', scale=(224, 224)),
                dict(type='FixedMissing', missing=missing),
                dict(type='PackFASInputs'),
            ],
            test_mode=True,
        ),
    )
    for missing in (('rgb',), ('depth',), ('ir',), ('rgb', 'depth'), ('rgb', 'ir'), ('depth', 'ir'))
}
