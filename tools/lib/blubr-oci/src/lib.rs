//! Where images are: layouts, archives, registries, the Docker engine.
