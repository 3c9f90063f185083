"""The LSTM sweep beside PyTorch."""
