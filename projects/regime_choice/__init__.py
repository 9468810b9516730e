"""Which regime of training generalises: chosen on labelled sites that nothing was trained on."""
