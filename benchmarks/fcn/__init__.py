"""The FCN beside PyTorch."""
