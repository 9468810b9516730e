# Add this file to `_base_` for curves in Weights & Biases: pip install wandb.
visualizer = dict(
    type='Visualizer', vis_backends=[dict(type='WandbVisBackend', init_kwargs=dict(project='mmfas'))]
)
