"""Datasets: one file per corpus, each turning an on-disk layout into a manifest; none copies or alters a corpus."""
