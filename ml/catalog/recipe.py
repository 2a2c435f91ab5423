"""What a recipe is, and how one is made of settings with defaults of its own."""

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import create_model
from pydantic.fields import FieldInfo

from ml.catalog.settings import RecipeConfig

MIN_IMAGE_PX = 8
MAX_IMAGE_PX = 128

_Config = TypeVar("_Config", bound=RecipeConfig)


def with_defaults(name: str, base: type[_Config], **defaults: object) -> type[_Config]:
    """A config type of the same settings with other defaults, which are checked like a user's values."""
    fields: dict[str, Any] = {
        setting: (
            base.model_fields[setting].annotation,
            FieldInfo.merge_field_infos(base.model_fields[setting], default=value),
        )
        for setting, value in defaults.items()
    }
    made: type[_Config] = create_model(name, __base__=base, __module__=__name__, **fields)
    made.model_validate(defaults)
    return made


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named way to train: networks, objective, defaults, and the paper they come from."""

    name: str
    title: str
    summary: str
    paper: str
    modality: Literal["image"]
    config_type: type[RecipeConfig]
    min_px: int
    max_px: int
    px_multiple: int
    channels: tuple[int, ...]
    min_count: int


def image_recipe(
    name: str, config_type: type[RecipeConfig], *, title: str, summary: str, paper: str, px_multiple: int = 4
) -> Recipe:
    """A recipe for square images: grey or RGB, with or without alpha."""
    return Recipe(
        name=name,
        title=title,
        summary=summary,
        paper=paper,
        modality="image",
        config_type=config_type,
        min_px=MIN_IMAGE_PX,
        max_px=MAX_IMAGE_PX,
        px_multiple=px_multiple,
        channels=(1, 2, 3, 4),
        min_count=16,
    )
