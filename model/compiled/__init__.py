"""Kernels in C, compiled on the machine they run on: few rows at once, weights in 4 and 8 bits."""
