"""Losses by which a student learns from its teacher (Hinton, Vinyals & Dean 2015)."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from config.sections import AuxiliaryConfig
from kdgat_models.networks.autoencoder import AutoencoderOutput


def softened_divergence(
    student: Float[Tensor, "graphs classes"], teacher: Float[Tensor, "graphs classes"], temperature: float
) -> Float[Tensor, ""]:
    """T^2 * KL(softmax(teacher / T) || softmax(student / T)), mean over graphs.

    The factor T^2 keeps the gradients' size independent of T (Hinton et al. 2015, section 2.1).
    """
    target = F.log_softmax(teacher / temperature, 1)
    return temperature**2 * F.kl_div(F.log_softmax(student / temperature, 1), target, reduction="batchmean", log_target=True)


def vgae_divergence(
    student: AutoencoderOutput, teacher: AutoencoderOutput, projection: nn.Module, config: AuxiliaryConfig
) -> Float[Tensor, ""]:
    """Weighted MSE between the latent means and between the reconstructions of student and teacher.

    `projection` maps the student's latent onto the teacher's width; it is learnt along and thrown away afterwards.
    """
    latent = F.mse_loss(projection(student.mu), teacher.mu)
    reconstruction = F.mse_loss(student.reconstruction, teacher.reconstruction)
    return config.latent_weight * latent + config.reconstruction_weight * reconstruction


def blended(distillation: Tensor, task: Tensor, config: AuxiliaryConfig) -> Tensor:
    """alpha * distillation + (1 - alpha) * task."""
    return config.alpha * distillation + (1 - config.alpha) * task
