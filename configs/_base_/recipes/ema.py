# Add this file to `_base_`: weights averaged over the steps are validated, saved and tested.
custom_hooks = [dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.002)]
