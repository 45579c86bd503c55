"""Speech-to-face conversion by denoising diffusion (Kato & Hashimoto 2023)."""
