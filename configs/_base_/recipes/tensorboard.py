# Add this file to `_base_` for curves in TensorBoard: pip install tensorboard.
visualizer = dict(type='Visualizer', vis_backends=[dict(type='TensorboardVisBackend')])
