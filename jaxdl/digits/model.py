"""A LeNet for small grey pictures: the network that checks a new GPU host.

Source: LeCun et al. 1998, in the form of Caffe's MNIST example (20 and 50 maps, 500 units, ReLU).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class LeNet(nn.Module):
    """``model.apply({"params": p}, images)`` gives the logits (B, num_classes).

    Two 5x5 convolutions, each halved by a max pooling; then 500 units. Pictures of any one size
    from 4x4 on; the dense layer's size depends on it. Pictures of 16x16 and more are not padded, as
    in Caffe's, which takes a third of the time on 28x28; smaller ones are, with zeros.
    """

    num_classes: int = 10

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 1"]) -> Float[Array, "b c"]:
        x, padding = images, "VALID" if min(images.shape[1:3]) >= 16 else "SAME"
        for n, features in enumerate((20, 50), start=1):
            x = jax.nn.relu(nn.Conv(features, (5, 5), padding=padding, name=f"conv{n}")(x))
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = jax.nn.relu(nn.Dense(500, name="ip1")(jnp.reshape(x, (x.shape[0], -1))))
        return nn.Dense(self.num_classes, name="ip2")(x)
