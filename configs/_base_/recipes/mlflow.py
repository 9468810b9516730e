# Add this file to `_base_` for curves in MLflow: pip install mlflow.
visualizer = dict(
    type='Visualizer', vis_backends=[dict(type='MLflowVisBackend', exp_name='mmfas', tracking_uri='./mlruns')]
)
