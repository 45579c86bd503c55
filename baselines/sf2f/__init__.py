"""SF2F, Speech Fusion to Face (Bai et al. 2020)."""
