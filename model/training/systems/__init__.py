"""What can be trained: one small file per system, all behind the protocol of `base`."""
