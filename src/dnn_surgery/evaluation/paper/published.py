"""The numbers of the paper (Hu et al., INFOCOM 2019), read off its figures to about 3 %. Nothing here is ours.

Speed-ups are over Edge-Only, latency first, then throughput; those read off figure 14 are of DSL and DSH over
Neurosurgeon. What Neurosurgeon gains over Edge-Only is printed nowhere: it is derived here, from two figures.
"""

from __future__ import annotations

from types import MappingProxyType

NETWORKS = ("nin", "tiny_yolov2", "vgg16", "alexnet", "resnet18")

# Table I: uplink of the networks, Mbit/s. Table II: layers of the models.
UPLINK_MBPS = MappingProxyType({"CAT1": 0.13, "3G": 1.1, "4G": 5.85, "WiFi": 18.88})
LAYERS = MappingProxyType({"nin": 9, "tiny_yolov2": 17, "vgg16": 24, "alexnet": 23, "resnet18": 20})
IS_CHAIN = MappingProxyType({"nin": True, "tiny_yolov2": True, "vgg16": True, "alexnet": False, "resnet18": False})

LIGHT_HZ, HEAVY_HZ = 0.1, 20.0

# The network of figures 12 to 14 is not named; Cloud-Only's bars fit 3G.
FIGURE_12_TO_14_LINK = "3G"

Pair = tuple[float, float]

# Figures 12 and 13 by model.
DADS_LIGHT: dict[str, Pair] = dict(
    zip(NETWORKS, ((3.8, 4.35), (1.91, 3.45), (4.5, 5.15), (6.45, 7.6), (4.15, 8.31)), strict=True)
)
CLOUD_LIGHT: dict[str, Pair] = dict(
    zip(NETWORKS, ((2.5, 3.0), (0.23, 0.3), (3.2, 3.7), (4.55, 5.1), (3.05, 4.55)), strict=True)
)
DADS_HEAVY: dict[str, Pair] = dict(
    zip(NETWORKS, ((3.8, 4.34), (1.66, 4.4), (4.0, 6.55), (5.19, 8.15), (3.55, 9.14)), strict=True)
)
CLOUD_HEAVY: dict[str, Pair] = dict(
    zip(NETWORKS, ((2.55, 2.95), (0.24, 0.3), (3.25, 3.7), (4.55, 5.15), (3.05, 4.6)), strict=True)
)

# Figure 14 by model: DSL, then DSH, over Neurosurgeon.
DSL_OVER_NEUROSURGEON: dict[str, Pair] = dict(
    zip(NETWORKS, ((1, 1), (1, 1), (1, 1), (3.4, 5.35), (7.1, 7.9)), strict=True)
)
DSH_OVER_NEUROSURGEON: dict[str, Pair] = dict(
    zip(NETWORKS, ((1, 1), (0.84, 1.26), (0.86, 1.27), (2.9, 4.1), (5.4, 7.3)), strict=True)
)

# What the text says of figure 14: how much better than Neurosurgeon the DAGs are, as shares of its latency and of the
# throughput of DADS, least and most of both models and both loads. The readings above fit it.
DAG_LATENCY_GAIN, DAG_THROUGHPUT_GAIN = (0.66, 0.86), (0.76, 0.87)


def _derived(dads: dict[str, Pair], over_neurosurgeon: dict[str, Pair]) -> dict[str, Pair]:
    """Neurosurgeon over Edge-Only: DADS over Edge-Only (figures 12 and 13) by DADS over Neurosurgeon (14)."""
    return {
        name: (latency / over_neurosurgeon[name][0], throughput / over_neurosurgeon[name][1])
        for name, (latency, throughput) in dads.items()
    }


NEUROSURGEON_LIGHT = _derived(DADS_LIGHT, DSL_OVER_NEUROSURGEON)
NEUROSURGEON_HEAVY = _derived(DADS_HEAVY, DSH_OVER_NEUROSURGEON)

# Figures 15 and 16: ResNet-18 by link.
RESNET_DADS_LIGHT: dict[str, Pair] = {"CAT1": (1.46, 2.03), "3G": (4.14, 8.3), "4G": (7.23, 9.78), "WiFi": (8.32, 9.31)}
RESNET_CLOUD_LIGHT: dict[str, Pair] = {"CAT1": (0.52, 0.55), "3G": (3.05, 4.6), "4G": (6.7, 9.3), "WiFi": (8.32, 9.3)}
RESNET_DADS_HEAVY: dict[str, Pair] = {"CAT1": (1.25, 2.75), "3G": (3.55, 9.15), "4G": (7.2, 9.8), "WiFi": (8.25, 10.0)}

# Figure 17: ResNet-18 at one frame a second is heavy below this, Mbit/s.
MODE_SWITCH_MBPS = 1.51

# Figure 18: the measured bandwidth, Mbit/s, a point each, and the latency speed-up of DADS there.
TRACE_MBPS = (
    *(3.41, 3.41, 3.2, 2.8, 2.5, 2.3, 2.15, 2.1, 1.7, 1.3, 0.8),
    *(0.8, 0.77, 0.8, 0.65, 0.9, 1.3, 1.6, 1.5, 1.5, 1.4),
)
TRACE_SPEEDUP = (
    *(6.7, 6.7, 6.5, 6.0, 5.5, 5.1, 4.9, 4.8, 4.1, 3.6, 2.9),
    *(2.9, 2.85, 2.9, 2.6, 3.0, 3.6, 4.1, 3.95, 3.9, 3.8),
)

# Figures 1 and 7, tiny YOLOv2: seconds of conv8 at the edge and in the cloud; kB of the input and of max5.
CONV8_S = (0.8, 0.065)
TINY_YOLO_KB = MappingProxyType({"input": 950.0, "max5": 80.0})

# Figure 3 and the text: at 4 Mbit/s the cut at max5 takes this share less than the cut at the input.
MAX5_GAIN_AT_4_MBPS = 0.62
INPUT_AT_18_MBPS_S = 0.59
