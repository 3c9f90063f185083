"""jaxdl: FCN, word2vec and LSTM experiments of 2016, as pure functions of JAX and Flax linen."""
