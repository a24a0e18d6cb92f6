"""Settings of CLIPGlasses: as the paper writes it, as the released code has it, and every step between the two.

Nothing but the modules is set here; how they are trained is the matter of ``negutil.train``. Where the paper leaves
room, the reading is written beside the field. A whole variant is :func:`paper` or :func:`released`; a row of the table
of differences is ``paper(width, **DIFFERENCES[name])``; a row of Table 3 is ``paper(width, **ABLATIONS[name])``.
"""

from collections import ChainMap
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from negutil import files
from negutil.errors import NegutilError

LEVELS = 3
LEVEL_SCALES = (1.0, 0.8, 0.6)
GATE_BIAS = -2.0
RESIDUAL = 0.1
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True)
class GlassesConfig(files.Settings):
    """Everything that the modules depend on besides their weights and the logit scale of the CLIP that wears them.

    The defaults are the paper. ``width`` is D, the width of text and image features.

    Lens (eq. 1 to 6): ``softmax_over`` levels weighs the three levels against each other in each text; over tokens it
    weighs the text's tokens in all three levels, so keys and values are those of the last layer's tokens; over the
    batch it weighs the texts against each other, so a text's vector depends on its company: ``lens_batch`` texts are
    taken together outside of training (0: all). ``log_scale`` is the place of log alpha_i. ``gate`` is a vector [D] or
    one number per text, after ``gate_sigmoids`` sigmoids. ``lens_dropout`` is inside the FFN, which both variants
    share.

    Frame (eq. 7 to 11): ``fusion`` of text and image is a joint self-attention with ``fusion_heads``, or an encoder of
    ``encoder_layers`` post-norm layers (hidden width ``encoder_growth`` x D, ``encoder_dropout``). ``context_heads``
    and ``context_dropout`` are the cross-attention's to T_neg. ``bounded_residual`` keeps alpha of eq. 8 in [0, 1].
    ``component_epsilon`` is added to every component of the normalised T_neg. ``strength`` makes lambda of the last
    linear layer. ``lambda_from`` pair gives each pair of text and image a lambda of its own; from row, a text has one
    lambda for all images, from the image in its row.

    Mask (eq. 14, 15): a text counts as negated where the classifier says more than ``threshold``; ``mask_in_training``
    uses it in training too, where the paper has M = 1.

    Table 3: ``syntactic`` off: levels are weighed by log alpha alone, whatever they say (Q = 0). ``semantic`` off: the
    final text vector gives no keys and values; what is weighed, by log alpha alone, are the projected levels Q_i.
    ``residual_gate`` off: the FFN sees T_attn alone (g = 1). ``cross_modal`` off: lambda is made from the text alone.
    ``constant_lambda`` replaces lambda by a number; without the dynamic weight it is 1.

    Controls: ``negated`` random replaces T_neg by a random direction of the text's own (``random_seed``), and
    ``constant_penalty`` takes this many logits from every masked text, so that nothing but the mask is left.
    Raises NegutilError if the heads do not divide the width; :func:`paper` checks every value.
    """

    width: Count
    softmax_over: Literal["levels", "tokens", "batch"] = "levels"
    log_scale: Literal["added", "multiplied"] = "added"
    gate: Literal["vector", "scalar"] = "vector"
    gate_sigmoids: Literal[1, 2] = 1
    lens_batch: Annotated[int, Field(ge=0)] = 0
    lens_dropout: Share = 0.1
    fusion: Literal["attention", "encoder"] = "attention"
    fusion_heads: Count = 8
    encoder_layers: Count = 3
    encoder_growth: Count = 4
    encoder_dropout: Share = 0.3
    context_heads: Count = 4
    context_dropout: Share = 0.0
    bounded_residual: bool = True
    component_epsilon: float = 0.0
    strength: Literal["sigmoid", "gelu of sigmoid"] = "sigmoid"
    lambda_from: Literal["pair", "row"] = "pair"
    mask: Literal["classifier", "always"] = "classifier"
    mask_in_training: bool = False
    threshold: Share = 0.5
    gate_dropout: Share = 0.2
    syntactic: bool = True
    semantic: bool = True
    residual_gate: bool = True
    cross_modal: bool = True
    constant_lambda: float | None = None
    constant_penalty: float | None = None
    negated: Literal["lens", "random"] = "lens"
    random_seed: int = 0

    def __post_init__(self) -> None:
        for key in ("fusion_heads", "context_heads"):
            if self.width % getattr(self, key):
                heads = getattr(self, key)
                raise NegutilError(f"{key} of the glasses is {heads}; choose a divisor of the width {self.width}.")


# What the released code does otherwise than the paper, one by one (docs/protocols.md#clipglasses).
DIFFERENCES: dict[str, dict[str, Any]] = {
    "softmax over the batch": {"softmax_over": "batch", "lens_batch": 64},
    "log scale multiplied": {"log_scale": "multiplied"},
    "scalar gate": {"gate": "scalar"},
    "sigmoid twice": {"gate_sigmoids": 2},
    "three encoder layers": {"fusion": "encoder"},
    "dropout on the context": {"context_dropout": 0.2},
    "alpha without bounds": {"bounded_residual": False},
    "epsilon on every component": {"component_epsilon": 1e-8},
    "GELU of the sigmoid": {"strength": "gelu of sigmoid"},
    "lambda from the row's image": {"lambda_from": "row"},
    "mask in training": {"mask_in_training": True},
}

# Rows of Table 3; how the authors disable each is not published, so the meaning is ours but for "cross-modal".
ABLATIONS: dict[str, dict[str, Any]] = {
    "syntactic stream": {"syntactic": False},
    "semantic stream": {"semantic": False},
    "residual gating": {"residual_gate": False},
    "cross-modal context": {"cross_modal": False},
    "dynamic weight": {"constant_lambda": 1.0},
}


def paper(width: int, **changes: Any) -> GlassesConfig:
    """Return the glasses of the paper's equations for features [D] of ``width``, with ``changes``.

    Raises NegutilError for a value without sense and for an unknown setting.
    """
    return files.checked(GlassesConfig, {"width": width} | changes, "the settings of the glasses")


def tokens(width: int, **changes: Any) -> GlassesConfig:
    """Return the paper's glasses with eq. 4 read as attention over the text's tokens, and with ``changes``.

    Raises NegutilError for a value without sense and for an unknown setting.
    """
    return paper(width, **({"softmax_over": "tokens"} | changes))


def released(width: int, **changes: Any) -> GlassesConfig:
    """Return the glasses of the released code: the paper's with all of :data:`DIFFERENCES`, and with ``changes``.

    Raises NegutilError for a value without sense and for an unknown setting.
    """
    return paper(width, **(dict(ChainMap(*DIFFERENCES.values())) | changes))
