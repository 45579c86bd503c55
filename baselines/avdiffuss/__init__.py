"""AVDiffuSS (Lee et al. 2024): FlowAVSE's diffusion baseline, on the networks of `baselines.flowavse`."""
