"""The keys of the tasks that learn from captions beside frames: `language_masked`, `dual` and `generative`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from architecture.geometry import MaskKind
from config.hints import refuse
from config.section import NonNegative, Positive, Section, Share
from tasks.masked_settings import MaskedSettings

if TYPE_CHECKING:
    from architecture.conditioned_transformer import ConditionedTransformer
    from architecture.joint_transformer import JointTransformer
    from config.schema import Config
    from data_utils.catalog.catalog import Catalog
    from tasks.task import Task


class TextSettings(Section):
    """Captions, and the frozen encoder that reads them."""

    captions: str = Field(
        default="caption", description="the captions, as `dataset.annotations` names them: `{caption: captions}`"
    )
    encoder: str = Field(
        default="distilbert-base-uncased",
        description="frozen text encoder of the package transformers: a folder, a name that its local cache holds, or "
        "`tiny`, one of random weights; nothing is downloaded",
    )
    dim: Positive = Field(default=768, description="width of its states; DistilBERT 768, tiny 64")
    max_tokens: Annotated[int, Field(ge=3)] = Field(
        default=20, description="tokens of a caption, the first and the last mark included; longer ones are cut"
    )
    cache: str | None = Field(
        default=None, description="folder for what it has made of captions; null: the user's folder of caches"
    )


class LanguageMaskedSettings(MaskedSettings):
    """A frame is predicted from few patches and a caption: V-Cond (Karamcheti et al., 2023, arXiv 2302.12766)."""

    takes_any_encoder: ClassVar[bool] = True
    frames: ClassVar[int] = 1
    """Frames of a window."""

    mask_ratio: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.75, description="share of the patches that is hidden, rounded down"
    )
    augment: bool = Field(default=False, description="whether frames are augmented, by `augmentation`")
    text: TextSettings = Field(default_factory=TextSettings, validate_default=True)
    dropout: Share = Field(default=0.0, description="share of a batch's windows that lose their caption for the step")

    def check(self, config: Config) -> None:
        """See `TaskSettings.check`."""
        check_joint(config, self.frames)
        super().check(config)

    def check_start(self, config: Config) -> None:
        """See `TaskSettings.check_start`."""
        check_captions(config, self.text)

    def around(self, network: JointTransformer, config: Config) -> ConditionedTransformer:
        """See `TaskSettings.around`."""
        from architecture.conditioned_transformer import ConditionedTransformer

        return ConditionedTransformer(network, self.frames, self.text.dim, self.text.max_tokens)

    def build(self, config: Config, train: Catalog) -> Task:
        """See `TaskSettings.build`."""
        from tasks.language_masked import LanguageMaskedTask

        return LanguageMaskedTask(config, train)


class DualSettings(LanguageMaskedSettings):
    """An early frame and a later one, both masked at the same places, and a caption: V-Dual (arXiv 2302.12766)."""

    frames: ClassVar[int] = 2

    mask: MaskKind = Field(default="tube", description="tube: the same places of both frames are hidden")

    def check(self, config: Config) -> None:
        """See `TaskSettings.check`."""
        if self.mask != "tube":
            refuse(
                config,
                f"{config.task}.mask: both frames are hidden at the same places, which is `tube`, not `{self.mask}`",
                {f"{config.task}.mask": "tube"},
            )
        super().check(config)

    def build(self, config: Config, train: Catalog) -> Task:
        """See `TaskSettings.build`."""
        from tasks.dual import DualTask

        return DualTask(config, train)


class GenerativeSettings(DualSettings):
    """V-Gen (arXiv 2302.12766): of some windows the caption is read, and of the others it is to be written."""

    gen_ratio: Share = Field(
        default=0.5, description="share of a batch's windows that are shown no caption and have to write it"
    )
    language_weight: NonNegative = Field(default=0.5, description="weight of the captions' loss beside the pixels'")
    vocabulary: Positive = Field(default=30522, description="words of the text encoder; BERT's 30522, tiny's 286")

    def around(self, network: JointTransformer, config: Config) -> ConditionedTransformer:
        """See `TaskSettings.around`."""
        from architecture.caption_decoder import CaptionDecoder
        from architecture.conditioned_transformer import ConditionedTransformer
        from tasks.language_masked import frames_decoder

        text = self.text
        decoder = CaptionDecoder(frames_decoder(config, network), text.dim, self.decoder.dim, self.vocabulary)
        return ConditionedTransformer(network, self.frames, text.dim, text.max_tokens, decoder)

    def build(self, config: Config, train: Catalog) -> Task:
        """See `TaskSettings.build`."""
        from tasks.generative import GenerativeTask

        return GenerativeTask(config, train)


def check_joint(config: Config, frames: int) -> None:
    """Raises ValueError where the encoder or the window is not what single frames need."""
    if config.joint is None or config.encoder != "joint":
        refuse(
            config,
            f"encoder and task disagree: {config.task} needs patches that see words, which {config.encoder} has not",
            {"encoder": "joint"},
            {"encoder": "joint", "joint.tubelet": 1, "window.length": frames},
        )
    if config.joint.tubelet != 1:
        refuse(
            config,
            f"joint.tubelet and task disagree: {config.task} sees single frames, so a tubelet has one",
            {"joint.tubelet": 1},
        )
    if config.window.length != frames:
        refuse(
            config,
            f"window.length and task disagree: {config.task} sees {frames} frame{'s' * (frames > 1)} at once, not "
            f"{config.window.length}",
            {"window.length": frames},
        )


def check_captions(config: Config, text: TextSettings) -> None:
    """InputError where the text encoder's package is missing, or the config does not say that there are captions."""
    from config.errors import InputError
    from language.text_encoder import require_transformers

    require_transformers()
    if config.dataset.annotations.get(text.captions) != "captions":
        raise InputError(
            f"task {config.task} needs captions: set dataset.annotations={{{text.captions}: captions}}, or "
            f"{config.task}.text.captions to the name of other ones"
        )
