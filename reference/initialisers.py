"""Initial weights: every function takes (rng, units, inputs), that is n^l and n^{l-1}, and gives W^l in float64.

fan_in is n^{l-1} and fan_out is n^l. A uniform number on ±c has variance c²/3, hence limit = √(3 variance).
Normal numbers are not truncated, as in the papers. The *_normal of jax.nn.initializers are: they cut a normal number of
deviation s at ±2s, with s = σ/0.8796…, so that what is left has the deviation σ and stays within ±2.2737 σ.
"""

from collections.abc import Callable

import numpy as np

from reference.arrays import Array

Initialiser = Callable[[np.random.Generator, int, int], Array]


# --- variance given


def zeros(rng: np.random.Generator, units: int, inputs: int) -> Array:
    """Zero everywhere: leaves the units of a hidden layer equal to each other, and descent cannot part them.

    w_tf = 0;  (n^l, n^{l-1}).
    Convention: draws nothing from `rng`.
    """
    return np.zeros((units, inputs))


def uniform(rng: np.random.Generator, units: int, inputs: int, limit: float | None = None) -> Array:
    """Uniform on ±limit.

    w_tf ~ U(−limit, limit), by default limit = 1/√n^{l-1};  (n^l, n^{l-1}).
    Convention: symmetric about 0, where jax's `uniform(scale)` is on [0, scale) and torch's `uniform_` on [0, 1). The
    default is that of torch.nn.Linear, whose bias is drawn from the same interval; its variance is 1/(3 n^{l-1}).
    Source: the "commonly used heuristic" of Glorot and Bengio 2010, eq. (1).
    """
    limit = 1 / np.sqrt(inputs) if limit is None else limit
    return rng.uniform(-limit, limit, size=(units, inputs))


def normal(rng: np.random.Generator, units: int, inputs: int, deviation: float = 0.01) -> Array:
    """Normal with one standard deviation for every layer.

    w_tf ~ N(0, deviation²);  (n^l, n^{l-1}).
    Convention: deviation, not variance. The default is that of jax's `normal`, which is not truncated either; torch's
    `normal_` has 1.
    Source: Krizhevsky, Sutskever and Hinton, *ImageNet classification with deep convolutional neural networks*, NIPS
    2012, section 5.
    """
    return rng.normal(0, deviation, size=(units, inputs))


# --- variance from the widths


def glorot_uniform(rng: np.random.Generator, units: int, inputs: int) -> Array:
    """Uniform, so that activations and error terms keep their variance from layer to layer, as far as both can.

    w_tf ~ U(±√(6/(n^l + n^{l-1})));  (n^l, n^{l-1}).
    Convention: variance 2/(fan_in + fan_out); also called Xavier, in torch with a gain of 1.
    Source: Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural networks*, AISTATS
    2010, eq. (16).
    """
    return uniform(rng, units, inputs, limit=np.sqrt(6 / (units + inputs)))


def glorot_normal(rng: np.random.Generator, units: int, inputs: int) -> Array:
    """Normal with the variance of `glorot_uniform`.

    w_tf ~ N(0, 2/(n^l + n^{l-1}));  (n^l, n^{l-1}).
    Convention: not truncated, as torch's `xavier_normal_`; jax's is truncated at ±2.2737 σ.
    Source: Glorot and Bengio 2010 give the variance, eq. (12); their own numbers are uniform.
    """
    return normal(rng, units, inputs, deviation=np.sqrt(2 / (units + inputs)))


def he_uniform(rng: np.random.Generator, units: int, inputs: int) -> Array:
    """Uniform with the variance of `he_normal`.

    w_tf ~ U(±√(6/n^{l-1}));  (n^l, n^{l-1}).
    Convention: variance 2/fan_in; also called Kaiming. It is torch's `kaiming_uniform_` with its default a = 0, not
    torch.nn.Linear's, which sets a = √5 and so arrives at ±1/√n^{l-1}.
    Source: He et al. 2015 give the variance, eq. (10); their own numbers are normal.
    """
    return uniform(rng, units, inputs, limit=np.sqrt(6 / inputs))


def he_normal(rng: np.random.Generator, units: int, inputs: int) -> Array:
    """Normal, so that total inputs keep their variance through ReLU, which halves the mean square.

    w_tf ~ N(0, 2/n^{l-1});  (n^l, n^{l-1}).
    Convention: variance 2/fan_in, not truncated, as torch's `kaiming_normal_`; jax's is truncated at ±2.2737 σ.
    Source: He, Zhang, Ren and Sun, *Delving deep into rectifiers*, ICCV 2015, eq. (10).
    """
    return normal(rng, units, inputs, deviation=np.sqrt(2 / inputs))


def lecun_uniform(rng: np.random.Generator, units: int, inputs: int) -> Array:
    """Uniform with the variance of `lecun_normal`.

    w_tf ~ U(±√(3/n^{l-1}));  (n^l, n^{l-1}).
    Convention: variance 1/fan_in; in torch, `kaiming_uniform_` with nonlinearity="linear".
    Source: LeCun et al. 1998, section 4.6, which leaves the distribution open.
    """
    return uniform(rng, units, inputs, limit=np.sqrt(3 / inputs))


def lecun_normal(rng: np.random.Generator, units: int, inputs: int) -> Array:
    """Normal, so that total inputs have the variance of standardised inputs.

    w_tf ~ N(0, 1/n^{l-1});  (n^l, n^{l-1}).
    Convention: variance 1/fan_in, not truncated, as torch's `kaiming_normal_` with nonlinearity="linear"; jax's is
    truncated at ±2.2737 σ.
    Source: LeCun, Bottou, Orr and Müller, *Efficient BackProp*, 1998, section 4.6: deviation m^{−1/2}, m the fan-in.
    """
    return normal(rng, units, inputs, deviation=np.sqrt(1 / inputs))


# --- orthogonal


def orthogonal(rng: np.random.Generator, units: int, inputs: int, gain: float = 1.0) -> Array:
    """A rotation or reflection, each as likely as any other: it keeps lengths, not only their mean.

    WᵀW = gain² I where n^l ≥ n^{l-1}, WWᵀ = gain² I where n^l ≤ n^{l-1};  (n^l, n^{l-1}).
    Convention: W = gain·Q of a normal matrix's Q R, each column of Q given the sign of R's diagonal. That makes R's
    diagonal positive, so the factors are unique and Q is Haar distributed, as torch's and jax's. Without it LAPACK's
    choice of signs shows: det Q is always (−1)^{n−1}.
    Source: Saxe, McClelland and Ganguli, *Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks*, ICLR 2014; the signs: Mezzadri, *How to generate random matrices from the classical compact groups*,
    Notices of the AMS 54, 2007.
    """
    Q, R = np.linalg.qr(rng.normal(size=(max(units, inputs), min(units, inputs))))
    Q *= gain * np.copysign(1, np.diag(R))
    return Q if units >= inputs else Q.T


INITIALISERS: dict[str, Initialiser] = {
    "zeros": zeros,
    "uniform": uniform,
    "normal": normal,
    "glorot_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
    "lecun_uniform": lecun_uniform,
    "lecun_normal": lecun_normal,
    "orthogonal": orthogonal,
}
