"""Commands that repair packages: one for a checkout, one for the image, one for any environment."""

from jaxdl.doctor.facts import Facts


def build_image(extra: str) -> str:
    """Its user cannot write to its environment: the image is built again, in a checkout."""
    return f"docker build -f containers/Dockerfile --build-arg JAX_EXTRA={extra} -t jaxdl:{extra} ."


def exact(name: str, version: str) -> str:
    """``name==version``, or the name alone if there is no version."""
    return f"{name}=={version}" if version else name


def install(facts: Facts, *needs: str, again: bool = False) -> str:
    """Install these distributions, and what they need; `again` even if they are installed."""
    if facts.place == "image":
        return build_image(next((f"cuda{cuda}" for cuda in facts.plugins), "cpu"))
    force = "--force-reinstall " if again else ""
    return f"{facts.pip} install {force}" + " ".join(f'"{need}"' for need in needs)


def install_pins(facts: Facts, *needs: str) -> str:
    """Install these at versions that fit the project: a checkout has all of its pins."""
    if facts.place == "checkout":
        return f"{facts.pip} install -c constraints.txt -e ."
    return install(facts, *needs)


def install_cuda(facts: Facts, cuda: int, old: int | None = None) -> str:
    """Add jax's plugin for a CUDA, in place of the `old` one."""
    if facts.place == "image":
        return build_image(f"cuda{cuda}")
    jax = exact(f"jax[cuda{cuda}]", facts.packages.get("jax", ""))
    add = f"make cuda{cuda}" if facts.place == "checkout" else install(facts, jax)
    return add if old is None else f"{uninstall_cuda(facts, old)} && {add}"


def uninstall_cuda(facts: Facts, cuda: int) -> str:
    """Remove jax's plugin for a CUDA."""
    if facts.place == "image":
        return install(facts)
    return f"{facts.pip} uninstall -y jax-cuda{cuda}-plugin jax-cuda{cuda}-pjrt"


def recreate_container(facts: Facts) -> str:
    """Start the container again: it gets the host's devices."""
    if facts.place == "other":
        return "docker run --gpus all ..."
    return "docker compose -f containers/compose.yaml up --force-recreate train"
