"""Language modelling from left to right with label smoothing (section 2.4, LM, as printed).

The encoder must not see what comes after a token, so this needs its causal mask; the vector of a
caption is still made with both sides in sight.
Shapes: B posts, T tokens, V vocabulary, D width.
"""

from jaxtyping import Float, Int
from torch import Tensor

from training.config import TextEncoderConfig
from training.objectives.masked_language_modelling import MaskedLanguageModelling


class CausalLanguageModelling(MaskedLanguageModelling):
    """Predicts each token from those before it, by a head like that of the masked form."""

    def __init__(self, config: TextEncoderConfig, label_smoothing: float) -> None:
        super().__init__(config, label_smoothing)
        self.pad_id = config.pad_id

    def predict(
        self,
        hidden_BTD: Float[Tensor, "B T D"],
        tokens_BT: Int[Tensor, "B T"],
        word_embeddings_VD: Float[Tensor, "V D"],
    ) -> Float[Tensor, ""]:
        """Mean cross entropy over all tokens but the first; padding is none."""
        next_BT = tokens_BT[:, 1:]
        return self(hidden_BTD[:, :-1], next_BT, next_BT != self.pad_id, word_embeddings_VD)
