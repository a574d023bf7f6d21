//! A part of the corpus with the engines of this host: each action at its line, nothing at another, everything explained.
//! `attribution_all` does all of it.

use blubr_tests::buildah::Isolation;
use blubr_tests::builders::Way;
use blubr_tests::corpus_run::hold;
use blubr_tests::engine::Builder;
use blubr_tests::require;

#[test]
fn the_classic_builder() {
    require!(Root, Docker);
    hold(Way::Docker(Builder::Classic), &["identical-runs", "base-removed", "renames"]);
}

#[test]
fn buildkit() {
    require!(Root, Docker);
    hold(Way::Docker(Builder::BuildKit), &["stages", "descriptors", "mounts"]);
}

#[test]
fn buildah_with_layers() {
    require!(Root, Buildah);
    hold(Way::Buildah(Isolation::Oci, true), &["identical-runs", "base-below"]);
}

#[test]
fn docker_without_mounts() {
    require!(Root, Docker);
    hold(Way::DockerVfs(Builder::Classic), &["replaced", "links"]);
    hold(Way::DockerVfs(Builder::BuildKit), &["copies"]);
}

#[test]
fn buildah_without_mounts() {
    require!(Root, Buildah);
    hold(Way::BuildahVfs(Isolation::Oci, true), &["base-below"]);
}
