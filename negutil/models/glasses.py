"""CLIPGlasses: scores of a frozen CLIP, less what Lens and Frame say about absent things (eq. 1 to 15).

Pure modules over features: texts [T, D] (the last layer at the end token), levels [T, 3, D] (the first three layers
there; where the Lens attends to tokens, then the last layer at every token) and images [M, D]. A score is a cosine
times exp(logit_scale), so it is a logit of the CLIP that wears them.
"""

import hashlib
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from negutil.errors import NegutilError
from negutil.models.glasses_settings import GATE_BIAS, LEVEL_SCALES, LEVELS, RESIDUAL, GlassesConfig

CHUNK = 512
PAIRS = 4096  # pairs at a time where there is no closed form
Block = Callable[[slice, slice], torch.Tensor]
"""Makes a part of a matrix [T, M], given a slice of texts and a slice of images."""


class Lens(nn.Module):
    """T_neg [T, D] of final text vectors [T, D] and of the first three layers at the end token [T, 3, D].

    Inputs are floating-point features as the text tower gives them, not normalised (the released code gives the layers
    its final norm and projection first). Eq. 1 to 3: Q_i = P_i(T_i), K = P(T), V_i = P_i'(T) with P(X) = LN(GELU(W X)),
    W [D, D] without bias. Read in eq. 4: the softmax is over the three levels, or (``softmax_over`` tokens) K and V_i
    are of all tokens of the last layer, which follow the three layers in ``levels`` [T, 3 + L, D] with zeros after a
    text's end, and the softmax is over tokens and levels together (in one for each level log alpha_i would cancel).
    Read in eq. 5: the gate is a vector, and its bias starts at -2. Eq. 6: the FFN is D -> 2 D -> D as in the released
    code.
    """

    def __init__(self, config: GlassesConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.query = nn.ModuleList(_projection(width) for _ in range(LEVELS))
        self.key = _projection(width)
        self.value = nn.ModuleList(_projection(width) for _ in range(LEVELS))
        self.log_scale = nn.Parameter(torch.tensor(LEVEL_SCALES).log())
        self.gate = nn.Linear(width, width if config.gate == "vector" else 1)
        self.ffn = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.LayerNorm(2 * width),
            nn.GELU(),
            nn.Dropout(config.lens_dropout),
            nn.Linear(2 * width, width),
            nn.LayerNorm(width),
        )
        # As in the released code, for both variants: the paper gives the gate's bias alone.
        for projection in (*self.query, *self.value):
            nn.init.kaiming_normal_(projection[0].weight, nonlinearity="relu")
        nn.init.normal_(self.gate.weight, std=0.02)
        nn.init.constant_(self.gate.bias, GATE_BIAS)

    def forward(self, texts: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Return T_neg [T, D] of ``texts`` [T, D] and ``levels`` [T, 3, D] (eq. 6), not normalised.

        Raises NegutilError if the two do not fit each other or the Lens.
        """
        width, more = self.config.width, self.config.softmax_over == "tokens"
        rows = levels.shape[1] if more and levels.dim() == 3 and levels.shape[1] > LEVELS else LEVELS + more
        if texts.dim() != 2 or texts.shape[1] != width or levels.shape != (len(texts), rows, width):
            raise NegutilError(
                f"A Lens of width {width} got texts {list(texts.shape)} and levels {list(levels.shape)}; "
                f"give [T, {width}] and [T, {LEVELS}{' + tokens' if more else ''}, {width}] of the same texts."
            )
        mixed = self.attended(texts, levels)
        if self.config.residual_gate:
            gate = self.openness(mixed)
            mixed = gate * mixed + (1 - gate) * texts
        out: torch.Tensor = self.ffn(mixed)
        return out

    def attended(self, texts: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Return T_attn [T, D]: the values V_i weighed by how the levels match the text's meaning (eq. 4)."""
        queries = torch.stack([project(levels[:, i]) for i, project in enumerate(self.query)], dim=1)
        if self.config.semantic and self.config.softmax_over == "tokens":
            return self._over_tokens(queries, levels[:, LEVELS:])
        if self.config.semantic:
            values = torch.stack([project(texts) for project in self.value], dim=1)
            matches = (queries * self.key(texts).unsqueeze(1)).sum(dim=-1) / math.sqrt(self.config.width)
        else:
            values, matches = queries, queries.new_zeros(queries.shape[:2])
        weights = self.weights(matches if self.config.syntactic else torch.zeros_like(matches))
        return (weights.unsqueeze(-1) * values).sum(dim=1)

    def _over_tokens(self, queries: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """T_attn [T, D] of Q_i [T, 3, D] and ``tokens`` [T, L, D]: what the tokens hold, as the levels look for it."""
        values = torch.stack([project(tokens) for project in self.value], dim=1)
        matches = torch.einsum("tid,tld->til", queries, self.key(tokens)) / math.sqrt(self.config.width)
        matches = matches if self.config.syntactic else torch.zeros_like(matches)
        beyond = ~tokens.any(dim=-1).unsqueeze(1)
        scores = (matches + self.log_scale.unsqueeze(1)).masked_fill(beyond, -torch.inf)
        weights = scores.flatten(1).softmax(dim=1).view_as(scores)
        return torch.einsum("til,tild->td", weights, values)

    def weights(self, matches: torch.Tensor) -> torch.Tensor:
        """Return the weights [T, 3] of the levels from ``matches`` [T, 3] = Q_i K / sqrt(D) (eq. 4)."""
        scaled = matches * self.log_scale if self.config.log_scale == "multiplied" else matches + self.log_scale
        return scaled.softmax(dim=0 if self.config.softmax_over == "batch" else 1)

    def openness(self, attended: torch.Tensor) -> torch.Tensor:
        """Return the gate g [T, D] or [T, 1] in (0, 1) of ``attended`` [T, D] (eq. 5)."""
        gate: torch.Tensor = self.gate(attended).sigmoid()
        return gate.sigmoid() if self.config.gate_sigmoids == 2 else gate


def _projection(width: int) -> nn.Sequential:
    """P(X) = LN(GELU(W X)) of eq. 3."""
    return nn.Sequential(nn.Linear(width, width, bias=False), nn.GELU(), nn.LayerNorm(width))


class Frame(nn.Module):
    """lambda [N] of texts, negated vectors and images, all [N, D], row by row; they are normalised here.

    Eq. 7: F = SelfAttn([T; I]), read as one multi-head attention over the two tokens, without norm or FFN. Eq. 8:
    T_fuse = alpha T + F_1, alpha from 0.1, kept in [0, 1] by a sigmoid. Eq. 9 and 10: C = CrossAttn(T_fuse, T_neg,
    T_neg); with one key its weight is 1, so C is a linear map of T_neg alone. Eq. 11: lambda is the sigmoid of
    W [T_fuse; C] + b. All pairs of texts and images: :func:`lambdas`.
    """

    def __init__(self, config: GlassesConfig) -> None:
        super().__init__()
        self.config = config
        self.fusion: nn.MultiheadAttention | nn.TransformerEncoder
        if config.fusion == "attention":
            self.fusion = nn.MultiheadAttention(config.width, config.fusion_heads, batch_first=True)
        else:
            layer = nn.TransformerEncoderLayer(
                config.width,
                config.fusion_heads,
                config.encoder_growth * config.width,
                config.encoder_dropout,
                activation="gelu",
                layer_norm_eps=1e-6,
                batch_first=True,
            )
            self.fusion = nn.TransformerEncoder(layer, config.encoder_layers)
        for parameter in self.fusion.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)  # as in the released code
        self.context = nn.MultiheadAttention(config.width, config.context_heads, batch_first=True)
        self.weigh = nn.Linear(2 * config.width, 1)
        bounded = config.bounded_residual
        self.residual = nn.Parameter(torch.tensor(math.log(RESIDUAL / (1 - RESIDUAL)) if bounded else RESIDUAL))

    @property
    def alpha(self) -> torch.Tensor:
        """The share alpha of the text itself in T_fuse (eq. 8), a number."""
        return self.residual.sigmoid() if self.config.bounded_residual else self.residual

    def forward(self, texts: torch.Tensor, negated: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Return lambda [N] of ``texts``, ``negated`` (T_neg) and ``images``, all [N, D], row by row (eq. 7 to 11).

        Raises NegutilError if they are not of one shape, or not of this width.
        """
        require_fit(self.config.width, texts, negated, images)
        if self.config.constant_lambda is not None:
            return texts.new_full((len(texts),), self.config.constant_lambda)
        fused = self.fused(functional.normalize(texts, dim=-1), functional.normalize(images, dim=-1))
        logits = self.weigh(torch.cat([fused, self.contextual(negated)], dim=-1))
        return self.strength(logits.squeeze(-1))

    def fused(self, texts: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Return T_fuse [N, D] of normalised ``texts`` and ``images`` [N, D] (eq. 7 and 8)."""
        tokens = torch.stack([texts, images] if self.config.cross_modal else [texts], dim=1)
        if isinstance(self.fusion, nn.MultiheadAttention):
            mixed = self.fusion(tokens[:, :1], tokens, tokens, need_weights=False)[0]
        else:
            mixed = self.fusion(tokens)
        return self.alpha * texts + mixed[:, 0]

    def contextual(self, negated: torch.Tensor) -> torch.Tensor:
        """Return C [N, D] of ``negated`` [N, D] (eq. 9 and 10): attention to one key, which gets all of the weight.

        Dropout of attention weights drops whole heads of a row, as torch.nn.MultiheadAttention does.
        """
        inner = functional.normalize(negated, dim=-1) + self.config.component_epsilon
        width, heads = self.config.width, self.config.context_heads
        value = functional.linear(inner, self.context.in_proj_weight[-width:], self.context.in_proj_bias[-width:])
        if self.training and self.config.context_dropout:
            kept = functional.dropout(value.new_ones(len(value), heads, 1), self.config.context_dropout)
            value = (value.view(len(value), heads, width // heads) * kept).flatten(1)
        out: torch.Tensor = self.context.out_proj(value)
        return out

    def strength(self, logits: torch.Tensor) -> torch.Tensor:
        """Return lambda of ``logits`` of any shape (eq. 11): in (0, 1), with the released GELU in (0, .841)."""
        weight = logits.sigmoid()
        return functional.gelu(weight) if self.config.strength == "gelu of sigmoid" else weight


def require_fit(
    width: int, texts: torch.Tensor, negated: torch.Tensor, images: torch.Tensor, rows: bool = True
) -> None:
    """Raise NegutilError unless all three are [N, ``width``]; without ``rows`` images may be [M, ``width``]."""
    shapes = [texts.shape, negated.shape, images.shape if rows else (len(texts), *images.shape[1:])]
    if any(tuple(shape) != (len(texts), width) for shape in shapes):
        raise NegutilError(
            f"A Frame of width {width} got texts {list(texts.shape)}, negated {list(negated.shape)} and images "
            f"{list(images.shape)}; give rows of {width} numbers, as many negated vectors as texts"
            f"{', and an image for each' if rows else ''}."
        )


class NegationGate(nn.Module):
    """Logits [T] that texts [T, D] hold a negation: D -> D/2, LN, GELU, dropout, -> 1 (docs/protocols.md#gate).

    The input is the final text vector as the tower gives it, not normalised. It is trained on its own by binary
    cross-entropy and frozen while Lens and Frame learn.
    """

    def __init__(self, width: int, dropout: float = 0.2) -> None:
        super().__init__()
        hidden = max(width // 2, 1)
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, 1)
        )

    def forward(self, texts: torch.Tensor) -> torch.Tensor:
        """Return the logits [T] of ``texts`` [T, D]; their sigmoid is the probability of a negation."""
        logits: torch.Tensor = self.layers(texts)
        return logits.squeeze(-1)

    @torch.no_grad()
    def mask(self, texts: torch.Tensor, threshold: float = 0.5) -> torch.Tensor:
        """Return M, bool [T]: whether the probability of a negation in ``texts`` [T, D] is above ``threshold``."""
        return self(texts).sigmoid() > threshold


# --------------------------------------------------------------------------------------------------------------------
# lambda for every pair of text and image at about the cost of a matrix product (eq. 7 to 11). With two tokens, T and I,
# the attention of T in head h to the image is one number, a sigmoid of a difference of two dot products,
# a_h = sigmoid((q_h(T) k_h(I) - q_h(T) k_h(T)) / sqrt(d)). What it mixes reaches lambda through one linear map, so
# the value of a token in a head is one number as well, s_h = u_h v_h, where u is the last layer's weight pulled back
# through the output projection. Hence logit(T, I) = c(T) + sum_h a_h(T, I) (s_h(I) - s_h(T)), with c(T) of the text and
# of T_neg, as attention to the one key T_neg is linear. That takes one [T, M] product for each head, and never a tensor
# of T x M x D.


def lambdas(
    frame: Frame, texts: torch.Tensor, negated: torch.Tensor, images: torch.Tensor, chunk: int = CHUNK
) -> torch.Tensor:
    """Return lambda [T, M] of every text with every image, with gradients.

    ``texts`` and ``negated`` (T_neg) are [T, D], ``images`` [M, D], normalised here. Besides the result it takes memory
    for a few blocks of ``chunk`` x ``chunk`` pairs; with gradients, blocks are computed again on the way back. A Frame
    with encoder layers has no closed form: each pair goes through it. Raises NegutilError for shapes that do not fit.
    """
    return blocks(of_pairs(frame, texts, negated, images), (len(texts), len(images)), chunk, texts)


def of_pairs(frame: Frame, texts: torch.Tensor, negated: torch.Tensor, images: torch.Tensor) -> Block:
    """Return what makes lambda of a block of pairs, given a slice of texts and a slice of images, as :func:`lambdas`.

    What depends on a text or an image alone is computed here, once. Raises NegutilError for shapes that do not fit.
    """
    require_fit(frame.config.width, texts, negated, images, rows=False)
    if frame.config.constant_lambda is not None or not frame.config.cross_modal:
        return of_texts(frame(texts, negated, texts))
    attention = frame.fusion
    if not isinstance(attention, nn.MultiheadAttention):

        def through_layers(rows: slice, columns: slice) -> torch.Tensor:
            said, absent, seen = texts[rows], negated[rows], images[columns]
            pairs = torch.cartesian_prod(torch.arange(len(said)), torch.arange(len(seen))).to(texts.device)
            parts = [frame(said[part[:, 0]], absent[part[:, 0]], seen[part[:, 1]]) for part in pairs.split(PAIRS)]
            return torch.cat(parts).view(len(said), len(seen))

        return through_layers
    heads, width = attention.num_heads, attention.embed_dim
    texts, images = functional.normalize(texts, dim=-1), functional.normalize(images, dim=-1)
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    weigh_fused, weigh_context = frame.weigh.weight[0].split(width)
    pulled = (weigh_fused @ attention.out_proj.weight).view(heads, 1, width // heads)

    def project(which: int, tokens: torch.Tensor) -> torch.Tensor:
        projected = functional.linear(tokens, weights[which], biases[which])
        return projected.view(len(tokens), heads, width // heads).transpose(0, 1)  # [H, T, d]

    query, key = project(0, texts) / math.sqrt(width // heads), project(1, images)
    to_itself = (query * project(1, texts)).sum(dim=-1)  # [H, T], query of the text with its own key
    of_text, of_image = ((project(2, tokens) * pulled).sum(dim=-1) for tokens in (texts, images))  # s_h
    fixed = frame.alpha * texts + attention.out_proj.bias
    offset = fixed @ weigh_fused + frame.contextual(negated) @ weigh_context + frame.weigh.bias + of_text.sum(dim=0)

    def block(rows: slice, columns: slice) -> torch.Tensor:
        logits = offset[rows].unsqueeze(1)
        for head in range(heads):
            to_own_key = -to_itself[head][rows].unsqueeze(1)
            towards = torch.addmm(to_own_key, query[head][rows], key[head][columns].T).sigmoid()
            logits = torch.addcmul(logits, towards, of_image[head][columns] - of_text[head][rows].unsqueeze(1))
        return frame.strength(logits)

    return block


def of_texts(strengths: torch.Tensor) -> Block:
    """Return what makes a block of lambda where each text has one for all images, in ``strengths`` [T]."""
    return lambda rows, columns: strengths[rows].unsqueeze(1).expand(-1, columns.stop - columns.start)


def blocks(make: Block, shape: tuple[int, int], chunk: int, like: torch.Tensor) -> torch.Tensor:
    """Return a matrix [T, M] put together from what ``make`` returns for slices of rows and columns.

    Without gradients every block is written into the result at once; with them, blocks are made again on the way back.
    """
    rows, columns = (
        [slice(start, min(start + chunk, length)) for start in range(0, length, chunk)] or [slice(0, 0)]
        for length in shape
    )
    if torch.is_grad_enabled():
        if len(rows) == len(columns) == 1:
            return make(rows[0], columns[0])
        again: list[list[torch.Tensor]] = [
            [checkpoint(make, row, column, use_reentrant=False) for column in columns] for row in rows
        ]
        return torch.cat([torch.cat(parts, dim=1) for parts in again])
    result = like.new_empty(shape)
    for row in rows:
        for column in columns:
            result[row, column] = make(row, column)
    return result


# --------------------------------------------------------------------------------------------------------------------


class Glasses(nn.Module):
    """Lens, Frame and classifier on one CLIP; ``scale`` is exp(logit_scale) of that CLIP, about 100 for OpenAI's.

    Wherever it is asked for, ``negated`` [T, D] replaces the Lens's T_neg (the true object's vector, say), and ``mask``
    bool [T] the classifier's M. The classifier gets no gradient here.
    """

    scale: torch.Tensor

    def __init__(self, config: GlassesConfig, scale: float) -> None:
        super().__init__()
        self.config = config
        # In this order, so that glasses of one seed begin with the same classifier and, with the same Lens, one Lens.
        self.gate = NegationGate(config.width, config.gate_dropout)
        self.lens, self.frame = Lens(config), Frame(config)
        self.register_buffer("scale", torch.tensor(float(scale)))

    def forward(
        self,
        texts: torch.Tensor,
        levels: torch.Tensor,
        images: torch.Tensor,
        *,
        negated: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        partners: torch.Tensor | None = None,
        chunk: int = CHUNK,
    ) -> torch.Tensor:
        """Return S [T, M] = S_base - M R of every text with every image (eq. 15), with gradients.

        Where lambda is from the row's image, ``partners`` int [T] says which row of ``images`` that is for each text;
        without it there have to be as many images as texts. Memory besides the result: blocks of ``chunk`` x ``chunk``.
        Raises NegutilError if partners are needed and missing, and for shapes that do not fit.
        """
        masked = (self.masked(texts) if mask is None else mask).to(texts.dtype).unsqueeze(1)
        said, seen = functional.normalize(texts, dim=-1), functional.normalize(images, dim=-1)
        penalty = self._penalties(texts, levels, images, negated, partners)

        def block(rows: slice, columns: slice) -> torch.Tensor:
            return self.scale * (said[rows] @ seen[columns].T) - masked[rows] * penalty(rows, columns)

        return blocks(block, (len(texts), len(images)), chunk, said)

    def paired(
        self,
        texts: torch.Tensor,
        levels: torch.Tensor,
        images: torch.Tensor,
        *,
        negated: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return S [N] of text i with image row i (eq. 15); ``images`` are [N, D]. Raises NegutilError as forward."""
        masked = self.masked(texts) if mask is None else mask
        said, seen = functional.normalize(texts, dim=-1), functional.normalize(images, dim=-1)
        base = (said * seen).sum(dim=-1)
        if self.config.constant_penalty is not None:
            return self.scale * base - masked.to(base.dtype) * self.config.constant_penalty
        absent = self.absent(texts, levels) if negated is None else negated
        pull = self.frame(texts, absent, images) * (self._direction(absent) * seen).sum(dim=-1).clamp(min=0)
        return self.scale * (base - masked.to(base.dtype) * pull)

    def absent(self, texts: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Return T_neg [T, D]: the Lens's, or random directions where the settings say so.

        Where the Lens's softmax is over the batch, texts go through it ``lens_batch`` at a time outside of training, in
        their order: the published scores depend on that batch too. Where it is over tokens, some hundreds at a time
        take less memory.
        """
        if self.config.negated == "random":
            return random_directions(texts, self.config.random_seed)
        together = {"batch": self.config.lens_batch, "tokens": CHUNK}.get(self.config.softmax_over, 0)
        if self.training or not together:
            negated: torch.Tensor = self.lens(texts, levels)
            return negated
        parts = zip(texts.split(together), levels.split(together), strict=True)
        return torch.cat([self.lens(*part) for part in parts])

    def masked(self, texts: torch.Tensor) -> torch.Tensor:
        """Return M, bool [T] (eq. 14): all true in training, unless the settings say otherwise."""
        if self.config.mask == "always" or (self.training and not self.config.mask_in_training):
            return torch.ones(len(texts), dtype=torch.bool, device=texts.device)
        return self.gate.mask(texts, self.config.threshold)

    def _penalties(
        self,
        texts: torch.Tensor,
        levels: torch.Tensor,
        images: torch.Tensor,
        negated: torch.Tensor | None,
        partners: torch.Tensor | None,
    ) -> Block:
        """What makes blocks of the penalty R [T, M] = lambda max(0, S_neg) (eq. 13).

        lambda is of each pair, or of the text with its partner for all images.
        """
        if self.config.constant_penalty is not None:
            return of_texts(texts.new_full((len(texts),), self.config.constant_penalty))
        absent = self.absent(texts, levels) if negated is None else negated
        toward, seen = self._direction(absent), functional.normalize(images, dim=-1)
        if self.config.lambda_from == "pair":
            strength = of_pairs(self.frame, texts, absent, images)
        elif partners is None and len(texts) != len(images):
            raise NegutilError(
                f"These glasses take lambda from the image in a text's row, but there are {len(texts)} texts and "
                f"{len(images)} images; give partners, or choose lambda_from = 'pair'."
            )
        else:
            strength = of_texts(self.frame(texts, absent, images if partners is None else images[partners]))

        def block(rows: slice, columns: slice) -> torch.Tensor:
            return self.scale * (toward[rows] @ seen[columns].T).clamp(min=0) * strength(rows, columns)

        return block

    def _direction(self, absent: torch.Tensor) -> torch.Tensor:
        """The normalised T_neg [T, D], with the released code's epsilon where the settings ask for it."""
        return functional.normalize(absent, dim=-1) + self.config.component_epsilon


def random_directions(texts: torch.Tensor, seed: int) -> torch.Tensor:
    """Return a random unit vector [D] for each of ``texts`` [T, D], drawn from ``seed`` and the text's own features.

    So a text keeps its direction whatever other texts are asked, and equal texts have equal ones.
    """
    rows = np.ascontiguousarray(texts.detach().cpu().to(torch.float32).numpy())
    digests = [np.frombuffer(hashlib.sha256(row.tobytes()).digest(), dtype=np.uint32).tolist() for row in rows]
    drawn = [np.random.default_rng([seed, *words]).standard_normal(rows.shape[1]) for words in digests]
    directions = torch.from_numpy(np.array(drawn).reshape(rows.shape))
    return functional.normalize(directions, dim=-1).to(texts)
