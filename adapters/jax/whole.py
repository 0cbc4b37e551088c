"""JAX with a whole network compiled into one program."""

from dataclasses import replace

import jax

from adapters.jax.jit import JaxJit, value_and_grad


class JaxWhole(JaxJit):
    """The same network in one program: the forward and the backward pass of all layers compiled together."""

    name = "jax-whole"
    on_cpu = replace(JaxJit.on_cpu, recomputes=True)
    on_gpu = replace(JaxJit.on_gpu, recomputes=True)
    value_and_grad = staticmethod(jax.jit(value_and_grad, static_argnums=(0, 1)))
