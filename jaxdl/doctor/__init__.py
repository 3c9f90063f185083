"""`jaxdl doctor`."""
