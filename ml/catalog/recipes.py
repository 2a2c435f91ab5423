"""The recipes: named ways to train, each with its paper and its defaults.

Which defaults were measured: benchmarks/results/quality.md.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ml.catalog.gan import GanConfig
from ml.catalog.recipe import Recipe, image_recipe, with_defaults
from ml.catalog.settings import AutoConfig
from ml.catalog.vae import VaeConfig, VaeGanConfig

# Four times the papers' rates: small batches of small images bear them, and short runs live on them.
_FAST_RATES = {"learning_rate_generator": 8e-4, "learning_rate_discriminator": 1.6e-3}

# Hinge loss under spectral norm, as Miyato & Koyama 2018 train projection discriminators, too.
_BOUNDED = _FAST_RATES | {
    "objective": "hinge",
    "discriminator_norm": "spectral",
    "adam_beta1": 0.0,
    "adam_beta2": 0.9,
    "augment_probability": 0.0,
}

_ALL_RECIPES = (
    image_recipe(
        "mlp-gan",
        with_defaults(
            "MlpGanConfig", GanConfig, network="mlp", discriminator_norm="none", kimg=60.0, kid_kimg=30.0
        ),
        title="Dense GAN",
        summary="Fully connected generator and discriminator: the first GAN. Trains in seconds, blurs above "
        "32 px.",
        paper="Goodfellow et al. 2014, Generative Adversarial Nets, arXiv:1406.2661",
        px_multiple=1,
    ),
    image_recipe(
        "dcgan",
        with_defaults("DcganConfig", GanConfig, augment_probability=0.0, **_FAST_RATES),
        title="DCGAN",
        summary="Convolutional generator and discriminator with batch norm: sharp small images within "
        "minutes on a CPU.",
        paper="Radford et al. 2015, Unsupervised Representation Learning with Deep Convolutional Generative "
        "Adversarial Networks, arXiv:1511.06434",
    ),
    image_recipe(
        "cgan",
        with_defaults("CganConfig", GanConfig, conditional="yes", **_BOUNDED),
        title="Conditional GAN",
        summary="sngan that insists on the classes of labelled data: ask for a class and get it.",
        paper="Mirza & Osindero 2014, arXiv:1411.1784; Miyato & Koyama 2018, cGANs with Projection "
        "Discriminator, arXiv:1802.05637",
    ),
    image_recipe(
        "acgan",
        with_defaults(
            "AcganConfig",
            GanConfig,
            conditional="yes",
            class_conditioning="auxiliary",
            **_BOUNDED,
        ),
        title="Auxiliary classifier GAN",
        summary="sngan whose discriminator names the class instead of being told: typical, easily told images of "
        "each class, with less variety.",
        paper="Odena et al. 2017, Conditional Image Synthesis with Auxiliary Classifier GANs, "
        "arXiv:1610.09585",
    ),
    image_recipe(
        "lsgan",
        with_defaults(
            "LsganConfig",
            GanConfig,
            objective="least-squares",
            learning_rate_generator=4e-4,
            learning_rate_discriminator=8e-4,
            augment_probability=0.0,
        ),
        title="Least-squares GAN",
        summary="DCGAN with a regression loss: fakes on the right side of the border still learn.",
        paper="Mao et al. 2017, Least Squares Generative Adversarial Networks, arXiv:1611.04076",
    ),
    image_recipe(
        "wgan",
        with_defaults(
            "WganConfig",
            GanConfig,
            augment_probability=0.0,
            objective="wasserstein",
            weight_clip=0.01,
            discriminator_steps=2,
            learning_rate_generator=8e-4,
            learning_rate_discriminator=8e-4,
            adam_beta1=0.0,
            adam_beta2=0.99,
        ),
        title="Wasserstein GAN",
        summary="A critic of clipped weights whose loss follows sample quality; kept to compare with its "
        "successor.",
        paper="Arjovsky et al. 2017, Wasserstein GAN, arXiv:1701.07875",
    ),
    image_recipe(
        "wgan-gp",
        with_defaults(
            "WganGpConfig",
            GanConfig,
            augment_probability=0.0,
            objective="wasserstein",
            gradient_penalty_weight=10.0,
            discriminator_steps=2,
            discriminator_norm="none",
            learning_rate_generator=8e-4,
            learning_rate_discriminator=8e-4,
            adam_beta1=0.0,
            adam_beta2=0.9,
        ),
        title="Wasserstein GAN with gradient penalty",
        summary="The Wasserstein GAN without clipping: stable with almost any network, two critic steps for "
        "each of the generator.",
        paper="Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv:1704.00028",
    ),
    image_recipe(
        "dragan",
        with_defaults(
            "DraganConfig",
            GanConfig,
            augment_probability=0.0,
            learning_rate_generator=8e-4,
            learning_rate_discriminator=8e-4,
            dragan_weight=10.0,
            discriminator_norm="none",
            adam_beta1=0.5,
            adam_beta2=0.9,
        ),
        title="DRAGAN",
        summary="DCGAN with a discriminator kept smooth around the data, which makes collapse rarer.",
        paper="Kodali et al. 2017, On Convergence and Stability of GANs, arXiv:1705.07215",
    ),
    image_recipe(
        "sngan",
        with_defaults("SnganConfig", GanConfig, **_BOUNDED),
        title="Spectrally normalised GAN",
        summary="Hinge loss and a discriminator of bounded slope: the default, best after one minute and after ten.",
        paper="Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks, "
        "arXiv:1802.05957",
    ),
    image_recipe(
        "rpgan",
        with_defaults(
            "RpganConfig",
            GanConfig,
            augment_probability=0.0,
            learning_rate_generator=8e-4,
            learning_rate_discriminator=8e-4,
            objective="relativistic",
            r1_gamma=1.0,
            r2_gamma=1.0,
            penalty_final=0.1,
            learning_rate_final=0.25,
            discriminator_norm="none",
            adam_beta1=0.0,
            adam_beta2=0.99,
        ),
        title="Relativistic pairing GAN",
        summary="Relativistic loss with R1 and R2 on plain networks: keeps improving on long runs, and "
        "takes twice as long a step.",
        paper="Huang et al. 2024, The GAN is dead; long live the GAN!, arXiv:2501.05441",
    ),
    image_recipe(
        "few-shot",
        with_defaults(
            "FewShotConfig",
            GanConfig,
            kimg=60.0,
            augment_target=0.6,
            augment_adapt_kimg=20.0,
            **_BOUNDED,
        ),
        title="Few-shot GAN",
        summary="sngan whose images are augmented as soon as the discriminator begins to remember them, for sets of "
        "some 100 to 1,000.",
        paper="Karras et al. 2020, Training Generative Adversarial Networks with Limited Data, "
        "arXiv:2006.06676; Zhao et al. 2020, Differentiable Augmentation, arXiv:2006.10738",
    ),
    image_recipe(
        "vae",
        with_defaults(
            "VaeRecipeConfig",
            VaeConfig,
            latent_size=16,
            pixel_deviation=1.0,
            learning_rate_generator=1e-3,
            adam_beta1=0.9,
        ),
        title="Variational autoencoder",
        summary="No adversary: codes images and decodes noise. Stable, covers everything, blurs.",
        paper="Kingma & Welling 2013, Auto-Encoding Variational Bayes, arXiv:1312.6114",
    ),
    image_recipe(
        "vae-gan",
        with_defaults(
            "VaeGanRecipeConfig",
            VaeGanConfig,
            latent_size=32,
            augment_probability=0.0,
            **_FAST_RATES,
        ),
        title="VAE-GAN",
        summary="An autoencoder that compares images by the discriminator's features: sharper than a VAE, and "
        "images have codes.",
        paper="Larsen et al. 2016, Autoencoding beyond pixels using a learned similarity metric, "
        "arXiv:1512.09300",
    ),
    image_recipe(
        "auto",
        AutoConfig,
        title="Automatic choice",
        summary="Looks at the data and the budget, takes a recipe that suits them, and says why.",
        paper="No paper: the measurements are in docs/reference/recipes.md.",
        px_multiple=1,
    ),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _ALL_RECIPES})

DEFAULT_RECIPE = "sngan"
"""What measured best per second: nothing was ahead by more than chance, on any data set or budget that were tried."""
