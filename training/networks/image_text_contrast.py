"""Image-text alignment: a contrastive loss of the images and captions of posts (section 2.4, ITA).

Shapes: B posts with both, Di and Dt encoder widths, A alignment width.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

MAX_SCALE = 100.0


class ImageTextAlignment(nn.Module):
    """Symmetric InfoNCE on unit projections with a learned temperature (Radford et al. 2021, CLIP).

        i_p = normalise(W_I r^I_p + b_I),  t_p = normalise(W_T r^T_p + b_T)
        l_IT = -mean over p of log(exp(s i_p.t_p) / sum over q in N(p) of exp(s i_p.t_q))
        loss = (l_IT + l_TI) / 2

    l_TI exchanges images and captions. The learned scale s = 1 / temperature is at most 100. N(p)
    is p and the posts of the batch with another image and another caption: reposts, which are
    common, are no negatives. A batch of fewer than two posts has loss 0.
    """

    def __init__(
        self, *, image_width: int, text_width: int, width: int, temperature: float
    ) -> None:
        super().__init__()
        self.image = nn.Linear(image_width, width)
        self.text = nn.Linear(text_width, width)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1.0 / temperature)))

    def forward(
        self,
        image_BD: Float[Tensor, "B Di"],
        text_BD: Float[Tensor, "B Dt"],
        image_hashes_B: Int[Tensor, " B"],
        caption_hashes_B: Int[Tensor, " B"],
    ) -> Float[Tensor, ""]:
        """Mean of the image-to-text and the text-to-image cross entropy."""
        if image_BD.shape[0] < 2:
            return 0.0 * (image_BD.sum() + text_BD.sum())
        image_BA = normalize(self.image(image_BD), dim=1)
        text_BA = normalize(self.text(text_BD), dim=1)
        with torch.no_grad():  # the parameter itself: a clamped scale would have no gradient
            self.log_scale.clamp_(max=math.log(MAX_SCALE))
        scale = self.log_scale.exp()
        with torch.autocast(image_BA.device.type, enabled=False):  # a scale of 100 needs all digits
            logits_BB = scale * image_BA.float() @ text_BA.float().T
        twins_BB = same(image_hashes_B) | same(caption_hashes_B)
        twins_BB = twins_BB & ~torch.eye(len(twins_BB), dtype=torch.bool, device=twins_BB.device)
        logits_BB = logits_BB.masked_fill(twins_BB, -torch.inf)
        labels_B = torch.arange(len(logits_BB), device=logits_BB.device)
        both = cross_entropy(logits_BB, labels_B) + cross_entropy(logits_BB.T, labels_B)
        return both / 2


def same(hashes_B: Int[Tensor, " B"]) -> Tensor:
    """Which pairs of posts have equal hashes (B, B)."""
    return hashes_B.unsqueeze(0) == hashes_B.unsqueeze(1)
