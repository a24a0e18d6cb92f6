"""Model registry and loader, encoding, MiniCLIP configurations and weights."""

from negutil.models import torchvision_compat

torchvision_compat.install()  # open_clip, transformers and diffusers import torchvision
