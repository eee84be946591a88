"""What is measured about the engine: speed, likelihood, the figures of the dial."""
