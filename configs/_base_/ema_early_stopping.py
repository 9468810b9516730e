# Add this file to `_base_` for averaged weights and early stopping when the dev HTER no longer falls.
custom_hooks = [
    dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.002),
    dict(type='EarlyStoppingHook', monitor='dev/hter', rule='less', patience=10),
]
