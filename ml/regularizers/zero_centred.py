"""R1 and R2, penalties that flatten the discriminator: Mescheder et al. 2018, arXiv:1801.04406, section 4.1."""

from torch import Tensor

from ml.regularizers.gradients import Judge, squared_gradient_norms


def r1_penalty(judge: Judge, real_images: Tensor, labels: Tensor | None, *, gamma: float) -> Tensor:
    """R1 = gamma/2 E[||dD(x)/dx||^2] at real images (equation 9): a scalar.

    A discriminator that is flat where the data are leaves the generator alone once it is there, which makes
    the game converge where the plain one circles.
    """
    return 0.5 * gamma * squared_gradient_norms(judge, real_images, labels).mean()


def r2_penalty(judge: Judge, fake_images: Tensor, labels: Tensor | None, *, gamma: float) -> Tensor:
    """R2 = gamma/2 E[||dD(x)/dx||^2] at fakes (equation 10): a scalar."""
    return 0.5 * gamma * squared_gradient_norms(judge, fake_images, labels).mean()
