"""Language modelling from left to right with label smoothing (section 2.4, LM, as printed).

The encoder must not see what comes after a token, so this needs its causal mask; the vector of a
caption is still made with both sides in sight.
Shapes: B posts, T tokens, V vocabulary, D width.
"""

from jaxtyping import Float, Int
from torch import Tensor

from training.mmga.config import TextEncoderConfig
from training.networks.language_modelling import MaskedLanguageModelling


class CausalLanguageModelling(MaskedLanguageModelling):
    """Predicts each token from those before it, by a head like that of the masked form."""

    def __init__(self, config: TextEncoderConfig, label_smoothing: float) -> None:
        super().__init__(config, label_smoothing)
        self.num_special = config.num_special

    def predict(
        self,
        hidden_BTD: Float[Tensor, "B T D"],
        tokens_BT: Int[Tensor, "B T"],
        word_embeddings_VD: Float[Tensor, "V D"],
    ) -> Float[Tensor, ""]:
        """Mean cross entropy over the ordinary tokens, as in the masked form; 0 without any."""
        next_BT = tokens_BT[:, 1:]
        ordinary_BT = next_BT >= self.num_special
        return self(hidden_BTD[:, :-1], next_BT, ordinary_BT, word_embeddings_VD)
