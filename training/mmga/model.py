"""MMGA: image encoder, text encoder, gated graph encoder and the heads of the five objectives.

Shapes: N users, U users of a batch, n nodes of a subgraph, B seeds of it, F statistics,
S signature width, D width.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from training.mmga.batches import EncoderBatch, GraphBatch, PostBatch, UserBatch
from training.mmga.config import RunConfig
from training.mmga.graph_encoder import GraphEncoder
from training.mmga.message_gate import NodeInputs, drop_modalities, rows
from training.mmga.objectives.graph_contrast import NeighbourContrast, PairwiseContrast
from training.mmga.objectives.graph_structure import GraphStructureModelling
from training.mmga.objectives.node_features import NodeFeatureModelling
from training.mmga.user_bank import ModalVectors, UserBank
from training.networks.encoders import ImageEncoder, TextEncoder
from training.networks.fusion import GatedFusion
from training.networks.image_text_contrast import ImageTextAlignment
from training.networks.language_modelling import CausalLanguageModelling, MaskedLanguageModelling
from training.networks.pooling import post_pooling
from training.networks.pretrained import fill_head, fill_image, fill_text

GRAPH_PARTS = ("graph", "fusion", "node_feature_modelling", "graph_structure_modelling")


class MMGA(nn.Module):
    """The network of one run (arXiv 2210.09946). `forward` computes the losses of a batch, by name.

        R^I, R^T = pool_image(image(pixels)), pool_text(text(tokens))      eq. 1, 2
        R^G      = graph(X, R^I, R^T)                                      eq. 3
        R        = R^G, to be concatenated with R^I and R^T, or fusion(R^G, R^I, R^T)

    X = (log1p(statistics) - mean) / deviation, with mean and deviation of the run's users
    (`fit_statistics`).
    """

    statistics_mean: Tensor
    statistics_scale: Tensor

    def __init__(self, config: RunConfig, num_features: int) -> None:
        super().__init__()
        self.config = config
        self.head_is_pretrained = False
        widths = {"image_width": config.image.width, "text_width": config.text.width}
        self.text = TextEncoder(config.text, config.compute)
        self.image = ImageEncoder(config.image, config.compute)
        self.pool_text = post_pooling(config.users.post_pooling, config.text.width)
        self.pool_image = post_pooling(config.users.post_pooling, config.image.width)
        self.graph = GraphEncoder(config.graph, num_features=num_features, **widths)
        if config.users.fusion == "gated":
            self.fusion = GatedFusion(graph_width=config.graph.width, **widths)
        options = config.objectives
        smoothing = options.lm_label_smoothing
        if options.language_modelling == "causal":
            self.causal_language_modelling = CausalLanguageModelling(config.text, smoothing)
        else:
            self.masked_language_modelling = MaskedLanguageModelling(config.text, smoothing)
        self.image_text_alignment = ImageTextAlignment(
            **widths, width=options.alignment_width, temperature=options.alignment_temperature
        )
        self.contrast_image = contrast(config, config.image.width)
        self.contrast_text = contrast(config, config.text.width)
        self.node_feature_modelling = NodeFeatureModelling(
            width=config.graph.width, num_features=num_features, loss=options.node_feature_loss
        )
        self.graph_structure_modelling = GraphStructureModelling(
            width=config.graph.width, directed=config.graph.is_directed
        )
        self.register_buffer("statistics_mean", torch.zeros(num_features))
        self.register_buffer("statistics_scale", torch.ones(num_features))

    def fit_statistics(self, statistics_NF: Float[Tensor, "N F"]) -> None:
        """Set mean and deviation of log1p(statistics); a constant statistic has deviation 1."""
        logs = torch.log1p(statistics_NF.double())
        deviation = logs.std(dim=0, correction=0)
        self.statistics_mean.copy_(logs.mean(dim=0))
        self.statistics_scale.copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def forward(self, batch: EncoderBatch | GraphBatch, bank: UserBank) -> dict[str, Tensor]:
        """Unweighted losses of the batch, by name."""
        if isinstance(batch, GraphBatch):
            return self.graph_losses(batch, bank)
        losses = self.post_losses(batch.posts)
        return losses if batch.users is None else losses | self.contrast_losses(batch.users, bank)

    def post_losses(self, batch: PostBatch) -> dict[str, Tensor]:
        """Language modelling and image-text alignment."""
        return {
            "language_modelling": self.language_modelling_loss(batch),
            "alignment": self.image_text_alignment(
                self.image(batch.aligned_pixels),
                self.text(batch.aligned_tokens),
                batch.image_hashes,
                batch.caption_hashes,
            ),
        }

    def language_modelling_loss(self, batch: PostBatch) -> Tensor:
        """The loss of masked or of causal language modelling."""
        words = self.text.word_embeddings
        if self.config.objectives.language_modelling == "causal":
            hidden = self.text.hidden(batch.lm_tokens, causal=True)
            return self.causal_language_modelling.predict(hidden, batch.lm_tokens, words)
        hidden = self.text.hidden(batch.lm_corrupted)
        loss: Tensor = self.masked_language_modelling(
            hidden, batch.lm_tokens, batch.lm_targets, words
        )
        return loss

    def contrast_losses(self, batch: UserBatch, bank: UserBank) -> dict[str, Tensor]:
        """The graph contrastive loss of each modality, over users that have it (eq. 7, 8).

        Writes the users' new vectors to the bank.
        """
        vectors = self.user_vectors(batch)
        losses = self.contrasts(vectors, batch, bank)
        bank.write(batch.users, vectors)
        return losses

    def contrasts(
        self, vectors: ModalVectors, batch: UserBatch, bank: UserBank
    ) -> dict[str, Tensor]:
        """The graph contrastive loss of each modality, for given vectors of the users."""
        stale = bank.read(batch.bank_users)
        return {
            "contrast_image": contrast_loss(
                self.contrast_image,
                vectors.image,
                vectors.has_image,
                stale.image,
                stale.has_image,
                batch,
            ),
            "contrast_text": contrast_loss(
                self.contrast_text,
                vectors.text,
                vectors.has_text,
                stale.text,
                stale.has_text,
                batch,
            ),
        }

    def user_vectors(self, batch: UserBatch) -> ModalVectors:
        """R^I and R^T of the batch's users, pooled over their sampled posts."""
        num_users = len(batch.users)
        texts = torch.cat([self.text(tokens) for tokens in batch.tokens])
        image, has_image = self.pool_image(self.image(batch.pixels), batch.pixel_owners, num_users)
        text, has_text = self.pool_text(texts, batch.token_owners, num_users)
        return ModalVectors(image=image, text=text, has_image=has_image, has_text=has_text)

    def graph_losses(self, batch: GraphBatch, bank: UserBank) -> dict[str, Tensor]:
        """The losses of node feature and graph structure modelling, from one forward pass."""
        nodes = self.node_inputs(bank.read(batch.users), batch.statistics, batch.signature)
        if self.training and self.config.users.modality_dropout:
            nodes = drop_modalities(nodes, self.config.users.modality_dropout)
        graph = self.graph(nodes, batch.blocks, batch.masked)
        num_seeds = len(graph)
        fused = self.fused(graph, nodes.first(num_seeds), batch.masked[:num_seeds])
        return {
            "node_feature": self.node_feature_modelling(
                graph, nodes.statistics[:num_seeds], batch.masked[:num_seeds]
            ),
            "graph_structure": self.graph_structure_modelling(
                rows(fused, batch.u), rows(fused, batch.v), batch.connected
            ),
        }

    def fused(
        self,
        graph_BD: Float[Tensor, "B D"],
        seeds: NodeInputs,
        masked_B: Bool[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B D"]:
        """R of the seeds with gated fusion, else R^G unchanged.

        The modalities of masked seeds are not read, as in the graph encoder.
        """
        if self.config.users.fusion == "concat":
            return graph_BD
        shown_B = torch.ones_like(seeds.has_text) if masked_B is None else ~masked_B
        fused: Tensor = self.fusion(
            graph_BD, seeds.image, seeds.text, seeds.has_image & shown_B, seeds.has_text & shown_B
        )
        return fused

    def node_inputs(
        self,
        vectors: ModalVectors,
        statistics_nF: Float[Tensor, "n F"],
        signature_nS: Float[Tensor, "n S"],
    ) -> NodeInputs:
        """Inputs of the graph encoder for n users, from raw statistics."""
        return NodeInputs(
            statistics=(torch.log1p(statistics_nF) - self.statistics_mean) / self.statistics_scale,
            image=vectors.image,
            text=vectors.text,
            has_image=vectors.has_image,
            has_text=vectors.has_text,
            signature=signature_nS,
        )

    def graph_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that phase B trains: graph encoder, gate, fusion, heads of its objectives."""
        return (
            parameter
            for name, parameter in self.named_parameters()
            if name.partition(".")[0] in GRAPH_PARTS
        )

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that phases 0 and A train: encoders without frozen layers, pooling, heads."""
        return (
            parameter
            for name, parameter in self.named_parameters()
            if parameter.requires_grad and name.partition(".")[0] not in GRAPH_PARTS
        )

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters initialised from pretrained weights: of encoders, of the masked LM head."""
        for encoder in (self.text, self.image):
            if encoder.config.pretrained is not None:
                yield from encoder.parameters()
        if self.head_is_pretrained:
            yield from self.masked_language_modelling.parameters()


def contrast(config: RunConfig, width: int) -> nn.Module:
    """The graph contrastive loss that the config names."""
    if config.objectives.contrast == "infonce":
        return NeighbourContrast(config.objectives.contrast_temperature)
    return PairwiseContrast(width, literal=config.objectives.contrast == "paper_literal")


def contrast_loss(
    head: nn.Module,
    vectors_UD: Tensor,
    has_U: Tensor,
    bank_KD: Tensor,
    bank_has_K: Tensor,
    batch: UserBatch,
) -> Tensor:
    """The loss over pairs in which both users have the modality; 0 without such pairs."""
    both = has_U[batch.sources] & has_U[batch.partners]
    if not bool(both.any()):
        return 0.0 * vectors_UD.sum()
    partners_ok = torch.cat([both, torch.ones_like(bank_has_K)])
    ok = torch.cat([both, bank_has_K])
    loss: Tensor = head(
        vectors_UD[batch.sources[both]],
        vectors_UD[batch.partners[both]],
        bank_KD,
        (batch.negatives & ok)[both][:, partners_ok],
        (batch.negatives_back & ok)[both][:, partners_ok],
    )
    return loss


def build(config: RunConfig, num_features: int, seed: int) -> MMGA:
    """The network at its initial weights, a function of (config, seed, pretrained weights).

    Raises WeightsUnusable.
    """
    model = blank(config, num_features, seed)
    with torch.random.fork_rng(devices=[]):  # loading a checkpoint without a head draws one
        fill_text(model.text)
        fill_image(model.image)
        if config.objectives.language_modelling == "masked":
            filled = fill_head(model.masked_language_modelling, config.text)
            model.head_is_pretrained = filled
    return model


def blank(config: RunConfig, num_features: int, seed: int = 0) -> MMGA:
    """The network at random weights, for a caller that loads all weights next."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MMGA(config, num_features)
