"""The engine: block diffusion language models, their cache, and the sampler that drives them."""
