"""NVIDIA cards as XLA's compiler needs them described, and their peak rates.

H100's description is a dump of a real card; the others are from NVIDIA's public specifications, as
are all peak rates: dense (no sparsity), at the boost clock, which no program reaches. H200 is an
H100 with other memory: NVIDIA's data sheet "H200 Tensor Core GPU" (SXM: 141 GB, 4.8 TB/s, half of
its sparse rates); its L2 as the runtime of a real card reports it. GB200 is one of the two GPUs of
a superchip: half of the rates of NVIDIA's data sheet "GB200 NVL72" (TF32 5,000 and BF16 10,000
Tflop/s, both sparse; 16 TB/s). The bytes of memory of H200 and GB200, and GB200's SMs, clock and
L2, are those of XLA's own descriptions of real cards (xla/backends/gpu/target_config/specs).

Links are data-sheet numbers too, of one direction: NVLink (A100, H100, H200, B200, GB200) or PCIe
x16 (T4: 3.0, A10G and L4: 4.0) from NVIDIA's data sheets; the network of a host of 8, a card's
eighth of it, from those of DGX A100 (8 x 200 Gbit/s InfiniBand), DGX H100, H200 and B200 (8 x 400),
and for T4, A10G and L4 from AWS's tables of g4dn.metal, g5.48xlarge and g6.48xlarge (100 Gbit/s for
all 8). NVLinks join 72 GB200 of a rack (DGX GB200: 400 Gbit/s for each to other racks); 64 of them
are counted, so that devices are powers of two.
"""

from typing import Literal, NamedTuple

CardName = Literal["t4", "a10g", "l4", "a100", "h100", "h200", "b200", "gb200"]
FRACTION = 0.85  # of the memory that a step may fill: JAX 0.12 takes all, JAX 0.10 what it is told
LAUNCH = 3e-6  # seconds, assumed: what a kernel costs at least

Dtype = Literal["float32", "bfloat16"]


class Card(NamedTuple):
    """One GPU.

    Attributes:
        name: as `CARDS` has it.
        capability: CUDA compute capability, (major, minor).
        multiprocessors: SMs.
        fpus: float32 units of an SM.
        memory: bytes.
        bandwidth: of the memory, bytes/s.
        l2: cache, MiB.
        clock: GHz.
        shared: shared memory of an SM, bytes.
        shared_block: the most that one block may have of it, bytes.
        threads: of an SM.
        float32: matrix flops/s of float32 arrays, in TF32 where the card has it, as XLA does.
        bfloat16: matrix flops/s of bfloat16 arrays.
        link: to the other cards of a host (`joined`), bytes/s in one direction.
        network: of one card, between hosts, bytes/s in one direction.
        joined: cards that `link` joins.
    """

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    fpus: int
    memory: int
    bandwidth: float
    l2: int
    clock: float
    shared: int
    shared_block: int
    threads: int
    float32: float
    bfloat16: float
    link: float
    network: float
    joined: int = 8

    def flops(self, dtype: Dtype) -> float:
        """Peak matrix flops/s."""
        return self.float32 if dtype == "float32" else self.bfloat16


_CARDS = (
    # T4 has no TF32, and computes bfloat16 in float32.
    Card(
        *("t4", (7, 5), 40, 64, 15_600_000_000, 320e9, 4, 1.59, 65536, 65536, 1024),
        *(8.1e12, 8.1e12, 16e9, 1.56e9),
    ),
    Card(
        *("a10g", (8, 6), 80, 128, 23_600_000_000, 600e9, 6, 1.71, 102400, 101376, 1536),
        *(35e12, 70e12, 32e9, 1.56e9),
    ),
    Card(
        *("l4", (8, 9), 58, 128, 23_700_000_000, 300e9, 48, 2.04, 102400, 101376, 1536),
        *(60e12, 121e12, 32e9, 1.56e9),
    ),
    Card(
        *("a100", (8, 0), 108, 64, 42_300_000_000, 1555e9, 40, 1.41, 167936, 166912, 2048),
        *(156e12, 312e12, 300e9, 25e9),
    ),
    Card(
        *("h100", (9, 0), 132, 128, 84_929_347_584, 3352e9, 50, 1.98, 233472, 232448, 2048),
        *(495e12, 989e12, 450e9, 50e9),
    ),
    Card(
        *("h200", (9, 0), 132, 128, 151_397_597_184, 4800e9, 60, 1.98, 233472, 232448, 2048),
        *(495e12, 989e12, 450e9, 50e9),
    ),
    Card(
        *("b200", (10, 0), 148, 128, 191_000_000_000, 8000e9, 126, 1.965, 233472, 232448, 2048),
        *(1125e12, 2250e12, 900e9, 50e9),
    ),
    Card(
        *("gb200", (10, 0), 152, 128, 197_897_748_480, 8000e9, 129, 2.062, 233472, 232448, 2048),
        *(1250e12, 2500e12, 900e9, 50e9, 64),
    ),
)
CARDS = {card.name: card for card in _CARDS}


def target_config(card: Card) -> str:
    """The card as a text proto, ``stream_executor.GpuTargetConfigProto`` (CUDA 12.9, cuDNN 9.8)."""
    major, minor = card.capability
    device = {
        "threads_per_block_limit": 1024,
        "threads_per_warp": 32,
        "shared_memory_per_block": 49152,
        "shared_memory_per_core": card.shared,
        "threads_per_core_limit": card.threads,
        "core_count": card.multiprocessors,
        "fpus_per_core": card.fpus,
        "block_dim_limit_x": 2147483647,
        "block_dim_limit_y": 65535,
        "block_dim_limit_z": 65535,
        "memory_bandwidth": int(card.bandwidth),
        "l2_cache_size": card.l2 << 20,
        "clock_rate_ghz": card.clock,
        "device_memory_size": card.memory,
        "shared_memory_per_block_optin": card.shared_block,
        "registers_per_core_limit": 65536,
        "registers_per_block_limit": 65536,
    }
    fields = " ".join(f"{name}: {value}" for name, value in device.items())
    return (
        f"gpu_device_info {{ {fields} "
        f"cuda_compute_capability {{ major: {major} minor: {minor} }} }} "
        "runtime_version { major: 12 minor: 9 } dnn_version_info { major: 9 minor: 8 } "
        f'platform_name: "CUDA" device_description_str: "{card.name.upper()}"'
    )
