"""Whether a data set suits a recipe, in sentences for people."""

from ml.catalog.lookup import get_recipe
from ml.catalog.settings import RecipeConfig

CONVOLUTIONAL_PX_MULTIPLE = 4


def check_dataset(
    recipe: str, config: RecipeConfig, *, width: int, height: int, channels: int, count: int, classes: int
) -> list[str]:
    """Say why this data cannot be trained with this recipe and config; empty when it can.

    Args:
        recipe: name of a recipe.
        config: its validated settings.
        width: image width in pixels.
        height: image height in pixels.
        channels: 1 for grey, 3 for colour; 2 and 4 with alpha.
        count: number of images.
        classes: number of classes, 0 for data without labels.

    Raises:
        UnknownRecipeError: no recipe has this name.
    """
    needs = get_recipe(recipe)
    problems = []
    if width != height:
        problems.append(f"{needs.title} needs square images; these are {width}x{height} px.")
    elif not needs.min_px <= width <= needs.max_px:
        problems.append(
            f"{needs.title} needs images of {needs.min_px} to {needs.max_px} px; these are {width} px wide."
        )
    elif width % (multiple := _px_multiple(config)):
        problems.append(
            f"{needs.title} needs a width that is a multiple of {multiple} px; these are {width} px."
        )
    if channels not in needs.channels:
        problems.append(
            f"{needs.title} needs grey or RGB images, with or without alpha; these have {channels} channels."
        )
    if count < needs.min_count:
        problems.append(f"{needs.title} needs at least {needs.min_count} images; there are {count}.")
    if config.conditional == "yes" and classes < 2:
        problems.append(
            "conditional=yes needs images of at least 2 classes; "
            + ("these have no labels." if classes == 0 else "these have one class.")
        )
    return problems


def _px_multiple(config: RecipeConfig) -> int:
    """What a width must be a multiple of: convolutional networks halve it twice at least."""
    return CONVOLUTIONAL_PX_MULTIPLE if getattr(config, "network", "mlp") in {"dcgan", "resnet"} else 1


def is_conditional(config: RecipeConfig, *, classes: int) -> bool:
    """Whether a run with this config learns the classes of data that has so many."""
    return config.conditional == "yes" or (config.conditional == "auto" and classes >= 2)
