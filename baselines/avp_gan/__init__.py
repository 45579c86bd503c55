"""AVP-GAN: a face from speech with attention, and its enhancement by a face prior (Mao et al. 2024)."""
