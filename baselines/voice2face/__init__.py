"""voice2face, face reconstruction from voice by GANs (Wen et al. 2019)."""
