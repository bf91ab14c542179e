"""More real architectures from packages, beside those that tests/execution runs at dozens of cuts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from tests.execution.architectures import SMALL, Made, from_pytorchcv, from_transformers, pixels, random_tensor, tokens

# Encoders of vision and of text share these names.
THREE = {**SMALL, "num_hidden_layers": 3}
_STAGES: dict[str, Any] = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32]}


def _pytorchcv_sized(name: str, *sides: int, **settings: Any) -> Made:
    """A network that is told the size of its picture: segmenters, detectors, key points."""
    from pytorchcv.model_provider import get_model

    torch.manual_seed(0)
    module: nn.Module = get_model(name, in_size=sides, **settings).eval()
    return module, {"x": random_tensor(1, 3, *sides)}


def _encoder_of_whisper() -> Made:
    settings = {"d_model": 48, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 4}
    settings |= {"decoder_attention_heads": 4, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96, "num_mel_bins": 16}
    whole, _ = from_transformers("WhisperModel", "WhisperConfig", {}, **settings, max_source_positions=50)
    encoder: Any = whole.encoder
    return encoder, {"input_features": random_tensor(1, 16, 100)}


MORE: dict[str, Callable[[], Made]] = {
    # Networks of pytorchcv that take a picture of any size.
    **{
        name: partial(from_pytorchcv, model, size)
        for name, model, size in (
            ("resnet50", "resnet50", 64),
            ("resnext26", "resnext26_32x4d", 64),
            ("seresnet18", "seresnet18", 64),
            ("cbam_resnet18", "cbam_resnet18", 64),
            ("resnest18", "resnesta18", 64),
            ("octresnet10", "octresnet10_ad2", 64),
            ("inceptionv3", "inceptionv3", 107),
            ("bninception", "bninception", 64),
            ("mobilenetv3", "mobilenetv3_large_w1", 64),
            ("shufflenet", "shufflenet_g3_w1", 64),
            ("squeezenet", "squeezenet_v1_1", 64),
            ("ghostnet", "ghostnet", 64),
            ("mnasnet", "mnasnet_a1", 64),
            ("mixnet", "mixnet_s", 64),
            ("darknet_tiny", "darknet_tiny", 64),
            ("dla34", "dla34", 64),
            ("dpn68", "dpn68", 224),
            ("hrnet_w18", "hrnet_w18_small_v1", 64),
            ("vovnet27", "vovnet27s", 64),
            ("fractalnet", "fractalnet_cifar10", 32),
            ("nasnet", "nasnet_4a1056", 64),
            ("revnet38", "revnet38", 64),
        )
    },
    # Segmenters and detectors of pytorchcv.
    "fastscnn": lambda: _pytorchcv_sized("fastscnn_cityscapes", 128, 128),
    "bisenet": lambda: _pytorchcv_sized("bisenet_resnet18_celebamaskhq", 64, 64),
    "unet": lambda: _pytorchcv_sized("unet_cityscapes", 32, 32),
    "erfnet": lambda: _pytorchcv_sized("erfnet_cityscapes", 64, 64),
    "enet": lambda: _pytorchcv_sized("enet_cityscapes", 64, 64),
    "segnet": lambda: _pytorchcv_sized("segnet_cityscapes", 32, 32),
    "deeplabv3": lambda: _pytorchcv_sized("deeplabv3_resnetd50b_voc", 64, 64),
    "pspnet": lambda: _pytorchcv_sized("pspnet_resnetd50b_voc", 48, 48),
    "lednet": lambda: _pytorchcv_sized("lednet_cityscapes", 64, 64),
    "centernet": lambda: _pytorchcv_sized("centernet_resnet18_coco", 64, 64),
    "lffd": lambda: _pytorchcv_sized("lffd20x5s320v2_widerface", 160, 160),
    "simplepose": lambda: _pytorchcv_sized("simplepose_mobile_mobilenetv3_small_w1_coco", 64, 64, return_heatmap=True),
    "simplepose_keypoints": lambda: _pytorchcv_sized("simplepose_mobile_mobilenetv3_small_w1_coco", 64, 64),
    "lwopenpose": lambda: _pytorchcv_sized("lwopenpose2d_mobilenet_cmupan_coco", 64, 64),
}

MORE_OF_TRANSFORMERS: dict[str, Callable[[], Made]] = {
    "deit": lambda: from_transformers(
        "DeiTForImageClassification", "DeiTConfig", pixels(64), image_size=64, patch_size=16, **THREE
    ),
    "beit": lambda: from_transformers(
        "BeitForImageClassification", "BeitConfig", pixels(64), image_size=64, patch_size=16, **THREE
    ),
    "dinov2": lambda: from_transformers(
        "Dinov2ForImageClassification",
        "Dinov2Config",
        pixels(56),
        image_size=56,
        patch_size=14,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
    ),
    "clip": lambda: from_transformers(
        "CLIPModel",
        "CLIPConfig",
        {"input_ids": tokens(8, 200), **pixels(64)},
        text_config={**THREE, "vocab_size": 200, "eos_token_id": 199},
        vision_config={**THREE, "image_size": 64, "patch_size": 16},
    ),
    "pvt_v2": lambda: from_transformers(
        "PvtV2ForImageClassification",
        "PvtV2Config",
        pixels(64),
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 4, 4],
        mlp_ratios=[2, 2, 2, 2],
    ),
    "poolformer": lambda: from_transformers(
        "PoolFormerForImageClassification", "PoolFormerConfig", pixels(64), **_STAGES
    ),
    "levit": lambda: from_transformers(
        "LevitForImageClassification",
        "LevitConfig",
        pixels(64),
        image_size=64,
        hidden_sizes=[32, 48, 64],
        num_attention_heads=[2, 3, 4],
        depths=[1, 1, 1],
        key_dim=[8, 8, 8],
    ),
    "dpt": lambda: from_transformers(
        "DPTForDepthEstimation",
        "DPTConfig",
        pixels(64),
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 16, 24, 32],
        fusion_hidden_size=16,
        **SMALL,
    ),
    "glpn": lambda: from_transformers(
        "GLPNForDepthEstimation",
        "GLPNConfig",
        pixels(64),
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 4],
        decoder_hidden_size=16,
    ),
    "distilbert": lambda: from_transformers(
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        {"input_ids": tokens(16, 200)},
        vocab_size=200,
        dim=48,
        hidden_dim=96,
        n_layers=3,
        n_heads=4,
    ),
    "llama": lambda: from_transformers(
        "LlamaForCausalLM", "LlamaConfig", {"input_ids": tokens(16, 200)}, vocab_size=200, use_cache=False, **THREE
    ),
    "t5_encoder": lambda: from_transformers(
        "T5EncoderModel",
        "T5Config",
        {"input_ids": tokens(16, 200)},
        vocab_size=200,
        d_model=48,
        d_kv=12,
        d_ff=96,
        num_layers=3,
        num_heads=4,
    ),
    "wav2vec2": lambda: from_transformers(
        "Wav2Vec2ForCTC",
        "Wav2Vec2Config",
        {"input_values": random_tensor(1, 2000)},
        conv_dim=[16] * 4,
        conv_stride=[5, 2, 2, 2],
        conv_kernel=[10, 3, 3, 2],
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        vocab_size=32,
        **THREE,
    ),
    "whisper_encoder": _encoder_of_whisper,
}
