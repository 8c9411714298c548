"""The labelling method: pure functions from embeddings and a taxonomy to pseudo labels."""
