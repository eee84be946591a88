"""Training of the published network from scratch. Serving code never imports this package."""
