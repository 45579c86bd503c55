"""SGMSE+ (Richter et al. 2023): enhancement by diffusion that hears and does not see."""
