"""One file per architecture, all speaking the Denoiser protocol."""
