# Add this file to `_base_`: the model is compiled by torch.compile.
compile = True
