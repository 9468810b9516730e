# MMDA on SynthFAS, from scratch: trunk, data and schedule of configs/baselines. Only this file names the schedule.
_base_ = [
    './models/mmda_mini_vit.py',
    './datasets/synthfas_p1_cps2w.py',
    './schedules/adamw_12e.py',
    './default_runtime.py',
]
