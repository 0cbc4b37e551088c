"""The equations as a person reads them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Equation:
    """An equation in the ledger: the section of the note that has it, its name, and the formula.

    The formula is in the notation of `reference.equations`, which reads as it stands in a terminal; `mathml` sets it.
    """

    section: str
    name: str
    formula: str


DEFINITIONS, LEARNING, ONE_LAYER = "Definitions", "Loss and gradient descent", "Gradients in any layer"
OUTPUT_LAYER, HIDDEN_LAYERS = "Output layer", "Hidden layers"

LABELS = {
    "z": Equation(DEFINITIONS, "total input", "z_t^l = Σ_f w_tf^l a_f^{l−1} + b_t^l"),
    "a": Equation(DEFINITIONS, "activation", "a_t^l = f(z_t^l)"),
    "1": Equation(LEARNING, "total loss", "L = 1/N Σ_i L_i"),
    "2a": Equation(LEARNING, "descent, weights", "w_new = w_old − η ∂L/∂w"),
    "2b": Equation(LEARNING, "descent, biases", "b_new = b_old − η ∂L/∂b"),
    "3": Equation(LEARNING, "change of the cost", "ΔC ≈ Σ_v ∂C/∂v Δv"),
    "4": Equation(LEARNING, "change down the gradient", "ΔC ≈ −η ‖∇C‖²"),
    "5a": Equation(ONE_LAYER, "chain rule, weights", "∂L_i/∂w_tf = δ_t ∂z_t/∂w_tf"),
    "5b": Equation(ONE_LAYER, "chain rule, biases", "∂L_i/∂b_t = δ_t ∂z_t/∂b_t"),
    "6a": Equation(ONE_LAYER, "total input by weight", "∂z_t/∂w_tf = a_f^{l−1}"),
    "6b": Equation(ONE_LAYER, "total input by bias", "∂z_t/∂b_t = 1"),
    "7a": Equation(ONE_LAYER, "gradient, weights", "∂L/∂w_tf = 1/N Σ_i δ_t a_f^{l−1}"),
    "7b": Equation(ONE_LAYER, "gradient, biases", "∂L/∂b_t = 1/N Σ_i δ_t"),
    "8": Equation(OUTPUT_LAYER, "partial loss", "L_i = Σ_t L_i(a_t, y_t)"),
    "9": Equation(OUTPUT_LAYER, "error term", "δ_t = Σ_k ∂L_i/∂a_k ∂a_k/∂z_t"),
    "10a": Equation(OUTPUT_LAYER, "(9) in (7a)", "∂L/∂w_tf = 1/N Σ_i,k ∂L_i/∂a_k ∂a_k/∂z_t a_f"),
    "10b": Equation(OUTPUT_LAYER, "(9) in (7b)", "∂L/∂b_t = 1/N Σ_i,k ∂L_i/∂a_k ∂a_k/∂z_t"),
    "11": Equation(HIDDEN_LAYERS, "error term, chain rule", "δ_f^l = Σ_t δ_t^{l+1} ∂z_t^{l+1}/∂z_f^l"),
    "12": Equation(HIDDEN_LAYERS, "total input of the next layer", "z_t^{l+1} = Σ_f w_tf^{l+1} f_h(z_f^l) + b_t^{l+1}"),
    "13": Equation(HIDDEN_LAYERS, "from layer to layer", "∂z_t^{l+1}/∂z_f^l = w_tf^{l+1} f_h'(z_f^l)"),
    "14": Equation(HIDDEN_LAYERS, "error term", "δ_f^l = f_h'(z_f^l) Σ_t δ_t^{l+1} w_tf^{l+1}"),
}

UNKNOWN = Equation("Other checks", "not an equation of the note", "")
