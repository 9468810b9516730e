# Add this file to `_base_`: training ends when the dev HTER has not fallen for ten epochs.
custom_hooks = [dict(type='ResumableEarlyStoppingHook', monitor='dev/hter', rule='less', patience=10)]
