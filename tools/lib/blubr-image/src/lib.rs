//! What a container image says: manifest, config, history, layers.
