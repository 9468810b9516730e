# SynthFAS under one perturbation, psw2c: only the test folder, named by SYNTHFAS_STRESS, is perturbed. Render it:
#   mmfas data render data/synthfas_small_depth_noise-0.50 --splits test --stress depth_noise=0.5
_base_ = './synthfas_p1_psw2c.py'

test_dataloader = dict(dataset=dict(data_root='{{$SYNTHFAS_STRESS:data/synthfas_small_depth_noise-0.50}}'))
