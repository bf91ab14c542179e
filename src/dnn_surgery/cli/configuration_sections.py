"""What each section of a configuration file says. None, or empty: the file does not say it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PERIODS = ("hour", "day", "week", "month")


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a frame becomes the model's input, for models that do not say it themselves.

    `size` is height and width in pixels; `mean` and `std` a channel; see :mod:`dnn_surgery.model.preprocess`.
    """

    resize: str | None = None
    size: tuple[int, int] | None = None
    scale: float | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    color: str | None = None
    layout: str | None = None


@dataclass(frozen=True, slots=True)
class Postprocess:
    """What the model's output means: `task` is classify, detect or none."""

    task: str | None = None
    confidence: float | None = None
    iou: float | None = None


@dataclass(frozen=True, slots=True)
class ModelSection:
    """`architecture` (a zoo name, in any case) or `ref` (what a command takes as MODEL); `path` is the weights file,
    `codecs` files of learnt codecs."""

    architecture: str | None = None
    ref: str | None = None
    path: Path | None = None
    classes: int | None = None
    labels: Path | None = None
    trust_model: bool | None = None
    codecs: tuple[Path, ...] = ()
    preprocess: Preprocess = Preprocess()
    postprocess: Postprocess = Postprocess()

    @property
    def reference(self) -> str | None:
        """MODEL, as on the command line."""
        return self.ref or self.architecture


@dataclass(frozen=True, slots=True)
class Tls:
    """Files: whom to trust, and who we are."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class ServerSection:
    """Where the cloud is; its port may stand in quotes."""

    address: str | None = None
    port: int | None = None
    tls: Tls = Tls()
    token_file: Path | None = None

    @property
    def location(self) -> str | None:
        """``address:port``, or the address alone where no port is set; None without an address."""
        if self.address is None or self.port is None:
            return self.address
        bare = self.address.removeprefix("[").removesuffix("]")
        return f"[{bare}]:{self.port}" if ":" in bare else f"{bare}:{self.port}"


@dataclass(frozen=True, slots=True)
class EngineSection:
    """What runs the model here."""

    name: str | None = None
    providers: tuple[str, ...] | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class ProfilesSection:
    """Profile files; `cloud` None with `cloud_auto` True means that the server is asked."""

    edge: Path | None = None
    cloud: Path | None = None
    cloud_auto: bool = False


@dataclass(frozen=True, slots=True)
class SourceSection:
    """One source of frames: what `--source` takes, frames a second, and its priority among several."""

    url: str
    rate_hz: float | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Pins:
    """Layers that stay where they are put."""

    edge: tuple[str, ...] = ()
    cloud: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DataBudget:
    """So many bytes in each `period`: hour, day, week or month."""

    size_bytes: int
    period: str


@dataclass(frozen=True, slots=True)
class PlanSection:
    """What is asked of a plan. `accuracy` is ``exact`` or the share of answers that must stay the same."""

    objective: str | None = None
    accuracy: float | str | None = None
    calibration: Path | None = None
    pin: Pins = Pins()
    deadline_s: float | None = None
    max_data: DataBudget | None = None


@dataclass(frozen=True, slots=True)
class LinkSection:
    """How the link is measured: passive, probe or iperf3."""

    estimate: str | None = None


@dataclass(frozen=True, slots=True)
class OutputSection:
    """Where results go: `json` a file or ``-``, `metrics` an address to listen on."""

    json: str | None = None
    metrics: str | None = None
