"""DeepFilterNet3 (Schröter et al. 2023): a strong enhancer that hears and does not see."""
