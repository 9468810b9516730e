# Add this file to `_base_`: the model is compiled by torch.compile.
compile = True  # noqa: A001  the engine calls it so
