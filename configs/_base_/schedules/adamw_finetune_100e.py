# For pretrained trunks: the rate of the published trainers of the benchmark, a tenth of that from scratch.
_base_ = './adamw_100e.py'

optim_wrapper = dict(optimizer=dict(lr=5e-5))
