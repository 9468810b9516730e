# Add this file to `_base_` for curves in MLflow: pip install mlflow. They go to a file here; or name a server.
visualizer = dict(
    type='Visualizer',
    vis_backends=[dict(type='MLflowVisBackend', exp_name='mmfas', tracking_uri='sqlite:///mlflow.db')],
)
