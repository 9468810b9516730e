# The concatenation baseline on folders of one camera: data/my_camera/{train,dev,test}/KIND/SUBJECT_FRAME_rgb.png.
_base_ = '../../../configs/baselines/concat_mini-vit_1xb32-12e_synthfas-cps2w.py'
custom_imports = dict(imports=['projects.example_dataset'], allow_failed_imports=False)
train_dataloader = dict(
    dataset=dict(type='KindFolderDataset', data_root='data/my_camera', ann_file='train', meta_file=None)
)
val_dataloader = dict(
    dataset=dict(type='KindFolderDataset', data_root='data/my_camera', ann_file='dev', meta_file=None)
)
test_dataloader = dict(
    dataset=dict(type='KindFolderDataset', data_root='data/my_camera', ann_file='test', meta_file=None)
)
