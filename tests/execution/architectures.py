"""Real architectures from packages, small enough to run at dozens of cuts: a module and its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

Inputs = Mapping[str, torch.Tensor]
Made = tuple[nn.Module, Inputs]


def random_tensor(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3))


def tokens(length: int, words: int) -> torch.Tensor:
    return torch.randint(0, words, (1, length), generator=torch.Generator().manual_seed(3))


def from_pytorchcv(name: str, size: int) -> Made:
    from pytorchcv.model_provider import get_model

    torch.manual_seed(0)
    module = get_model(name)
    for part in module.modules():
        if hasattr(part, "final_pool"):
            # The packages' pools are as large as the last feature map of a full-size picture.
            part.final_pool = nn.AdaptiveAvgPool2d(1)
    return module.eval(), {"x": random_tensor(1, 3, size, size)}


def from_transformers(model: str, config: str, inputs: Inputs, **settings: Any) -> Made:
    import transformers

    torch.manual_seed(0)
    module = getattr(transformers, model)(getattr(transformers, config)(**settings))
    return module.eval(), inputs


def pixels(size: int) -> Inputs:
    return {"pixel_values": random_tensor(1, 3, size, size)}


SMALL = {"hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 96}


class Tagger(nn.Module):
    """A two-layer bidirectional LSTM that tags words, as in every textbook."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(100, 16)
        self.below = nn.LSTM(16, 12, batch_first=True, bidirectional=True)
        self.above = nn.LSTM(24, 12, batch_first=True, bidirectional=True)
        self.hidden, self.norm, self.tags = nn.Linear(24, 24), nn.LayerNorm(24), nn.Linear(24, 9)

    def forward(self, words: torch.Tensor) -> dict[str, torch.Tensor]:
        below, _ = self.below(self.words(words))
        above, (last, _) = self.above(below)
        mixed = self.norm(self.hidden(above).tanh() + below)
        return {"tags": self.tags(mixed).log_softmax(-1), "summary": last.transpose(0, 1).flatten(1)}


def _lstm() -> Made:
    torch.manual_seed(0)
    return Tagger().eval(), {"words": tokens(12, 100)}


def _detr() -> Made:
    import transformers

    settings: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
    settings |= {"layer_type": "basic", "out_features": ["stage4"]}
    backbone = transformers.ResNetConfig(**settings)
    return from_transformers(
        "DetrForObjectDetection",
        "DetrConfig",
        pixels(64),
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        num_queries=10,
    )


ARCHITECTURES: dict[str, Callable[[], Made]] = {
    "vit": lambda: from_transformers(
        "ViTForImageClassification", "ViTConfig", pixels(64), image_size=64, patch_size=16, **SMALL
    ),
    "swin": lambda: from_transformers(
        "SwinForImageClassification",
        "SwinConfig",
        pixels(64),
        image_size=64,
        embed_dim=24,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
    ),
    "segformer": lambda: from_transformers(
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        pixels(64),
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 4],
        decoder_hidden_size=32,
    ),
    "bert": lambda: from_transformers(
        "BertForSequenceClassification",
        "BertConfig",
        {"input_ids": tokens(16, 200), "attention_mask": torch.tensor([[1] * 12 + [0] * 4])},
        vocab_size=200,
        **SMALL,
    ),
    "gpt2": lambda: from_transformers(
        "GPT2LMHeadModel",
        "GPT2Config",
        {"input_ids": tokens(16, 200)},
        n_embd=48,
        n_layer=4,
        n_head=4,
        vocab_size=200,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    ),
    "convnext": lambda: from_transformers(
        "ConvNextForImageClassification",
        "ConvNextConfig",
        pixels(64),
        hidden_sizes=[16, 24, 32, 48],
        depths=[1, 1, 2, 1],
        image_size=64,
    ),
    "mobilevit": lambda: from_transformers(
        "MobileViTForImageClassification", "MobileViTConfig", pixels(64), image_size=64
    ),
    "yolos": lambda: from_transformers(
        "YolosForObjectDetection",
        "YolosConfig",
        pixels(64),
        image_size=[64, 64],
        patch_size=16,
        num_detection_tokens=10,
        **SMALL,
    ),
    "detr": _detr,
    "lstm": _lstm,
    "densenet121": lambda: from_pytorchcv("densenet121", 64),
    "inceptionv4": lambda: from_pytorchcv("inceptionv4", 107),
    "mobilenetv2": lambda: from_pytorchcv("mobilenetv2_w1", 64),
    "efficientnet_b0": lambda: from_pytorchcv("efficientnet_b0", 64),
    "shufflenetv2": lambda: from_pytorchcv("shufflenetv2_w1", 64),
}
