"""Training of block adapters and sampler heads for frozen causal models. `python -m model.training.adapter --help`."""
