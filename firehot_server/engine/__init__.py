"""The caller's side of the engine as a library: what stands behind an `Environment`."""
