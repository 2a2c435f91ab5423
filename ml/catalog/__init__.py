"""What can be trained, on what, and with which settings: recipes, their configs, built-in data sets.

Free of torch and numpy on purpose. It is the one package of `ml` that a web process may import, and it
imports nothing else of `ml`: it validates a user's settings, publishes their JSON Schema, and says in
sentences why a data set does not suit a recipe.
"""

from ml.catalog.builtin_datasets import BUILTIN_DATASETS, BuiltinDataset
from ml.catalog.feature_extractors import SHIPPED_EXTRACTORS, ShippedExtractor
from ml.catalog.fields import LARGEST_SEED, Width
from ml.catalog.gan import GanConfig
from ml.catalog.lookup import UnknownRecipeError, config_schema, get_recipe, parse_config
from ml.catalog.measured import Measurement, measurements_of
from ml.catalog.recipe import MAX_IMAGE_PX, MIN_IMAGE_PX, Recipe
from ml.catalog.recipes import DEFAULT_RECIPE, RECIPES
from ml.catalog.settings import MAY_DIFFER_ON_RESUME, AutoConfig, NetworkConfig, RecipeConfig
from ml.catalog.suitability import CONVOLUTIONAL_PX_MULTIPLE, check_dataset, is_conditional
from ml.catalog.vae import VaeConfig, VaeGanConfig

__all__ = [
    "BUILTIN_DATASETS",
    "CONVOLUTIONAL_PX_MULTIPLE",
    "DEFAULT_RECIPE",
    "LARGEST_SEED",
    "MAX_IMAGE_PX",
    "MAY_DIFFER_ON_RESUME",
    "MIN_IMAGE_PX",
    "RECIPES",
    "SHIPPED_EXTRACTORS",
    "AutoConfig",
    "BuiltinDataset",
    "GanConfig",
    "Measurement",
    "NetworkConfig",
    "Recipe",
    "RecipeConfig",
    "ShippedExtractor",
    "UnknownRecipeError",
    "VaeConfig",
    "VaeGanConfig",
    "Width",
    "check_dataset",
    "config_schema",
    "get_recipe",
    "is_conditional",
    "measurements_of",
    "parse_config",
]
