//! The whole corpus with every engine: what `make test-all` runs, and `make attribution-report` prints.
//!
//! `$BLUBR_CORPUS` names single builds, comma-separated, to look at those alone; `$BLUBR_KEEP` a folder in which the log, the image and the
//! statement of each build stay. `$BLUBR_REPLAY` names such a folder: what lies in it is judged again, and nothing built.

use blubr_tests::buildah::{Isolation, Program};
use blubr_tests::builders::Way;
use blubr_tests::corpus_run::hold_all;
use blubr_tests::engine::Builder;
use blubr_tests::require;
use blubr_tests::unified::on_unified_host;

#[test]
fn classic() {
    require!(Root, Docker);
    hold_all(Way::Docker(Builder::Classic));
}

#[test]
fn buildkit() {
    require!(Root, Docker);
    hold_all(Way::Docker(Builder::BuildKit));
}

#[test]
fn newer_classic() {
    require!(Root, Docker, Engines);
    hold_all(Way::Newer(Builder::Classic));
}

#[test]
fn newer_buildkit() {
    require!(Root, Docker, Engines);
    hold_all(Way::Newer(Builder::BuildKit));
}

#[test]
fn newer_containerd() {
    require!(Root, Docker, Engines);
    hold_all(Way::Containerd);
}

#[test]
fn buildah_oci_layers() {
    require!(Root, Buildah);
    hold_all(Way::Buildah(Isolation::Oci, true));
}

#[test]
fn buildah_oci_flat() {
    require!(Root, Buildah);
    hold_all(Way::Buildah(Isolation::Oci, false));
}

#[test]
fn buildah_chroot_layers() {
    require!(Root, Buildah);
    hold_all(Way::Buildah(Isolation::Chroot, true));
}

#[test]
fn buildah_chroot_flat() {
    require!(Root, Buildah);
    hold_all(Way::Buildah(Isolation::Chroot, false));
}

#[test]
fn classic_vfs() {
    require!(Root, Docker);
    hold_all(Way::DockerVfs(Builder::Classic));
}

#[test]
fn buildkit_vfs() {
    require!(Root, Docker);
    hold_all(Way::DockerVfs(Builder::BuildKit));
}

#[test]
fn newer_classic_vfs() {
    require!(Root, Docker, Engines);
    hold_all(Way::NewerVfs(Builder::Classic));
}

#[test]
fn newer_buildkit_vfs() {
    require!(Root, Docker, Engines);
    hold_all(Way::NewerVfs(Builder::BuildKit));
}

#[test]
fn buildah_oci_layers_vfs() {
    require!(Root, Buildah);
    hold_all(Way::BuildahVfs(Isolation::Oci, true));
}

#[test]
fn buildah_oci_flat_vfs() {
    require!(Root, Buildah);
    hold_all(Way::BuildahVfs(Isolation::Oci, false));
}

#[test]
fn buildah_chroot_layers_vfs() {
    require!(Root, Buildah);
    hold_all(Way::BuildahVfs(Isolation::Chroot, true));
}

#[test]
fn buildah_fuse() {
    require!(Root, Buildah, Fuse);
    hold_all(Way::BuildahFuse);
}

#[test]
fn buildah_rootless_oci() {
    require!(Root, Buildah, Rootless);
    hold_all(Way::Rootless(Isolation::Oci));
}

#[test]
fn buildah_rootless_chroot() {
    require!(Root, Buildah, Rootless);
    hold_all(Way::Rootless(Isolation::Chroot));
}

#[test]
fn podman() {
    require!(Root, Buildah, Podman);
    hold_all(Way::Podman);
}

#[test]
fn newer_buildah_layers() {
    require!(Root, Buildah, Engines);
    hold_all(Way::NewerBuildah(Program::Buildah, true));
}

#[test]
fn newer_buildah_flat() {
    require!(Root, Buildah, Engines);
    hold_all(Way::NewerBuildah(Program::Buildah, false));
}

#[test]
fn newer_podman() {
    require!(Root, Buildah, Engines);
    hold_all(Way::NewerBuildah(Program::Podman, true));
}

#[test]
fn podman_rootless() {
    require!(Root, Buildah, Podman, Rootless);
    hold_all(Way::RootlessPodman);
}

#[test]
fn newer_buildah_rootless() {
    require!(Root, Buildah, Engines, Rootless);
    hold_all(Way::NewerRootless(Program::Buildah));
}

#[test]
fn newer_podman_rootless() {
    require!(Root, Buildah, Engines, Rootless);
    hold_all(Way::NewerRootless(Program::Podman));
}

#[test]
fn classic_rootless() {
    require!(Root, Docker, Rootless, RootlessKit);
    hold_all(Way::RootlessDocker(Builder::Classic));
}

#[test]
fn buildkit_rootless() {
    require!(Root, Docker, Rootless, RootlessKit);
    hold_all(Way::RootlessDocker(Builder::BuildKit));
}

#[test]
fn newer_classic_rootless() {
    require!(Root, Docker, Engines, Rootless, RootlessKit);
    hold_all(Way::NewerRootlessDocker(Builder::Classic));
}

#[test]
fn newer_buildkit_rootless() {
    require!(Root, Docker, Engines, Rootless, RootlessKit);
    hold_all(Way::NewerRootlessDocker(Builder::BuildKit));
}

#[test]
fn crun_layers() {
    require!(Root, Buildah, Crun);
    on_unified_host(|| hold_all(Way::Crun(Program::Buildah, true)));
}

#[test]
fn crun_flat() {
    require!(Root, Buildah, Crun);
    on_unified_host(|| hold_all(Way::Crun(Program::Buildah, false)));
}

#[test]
fn crun_podman() {
    require!(Root, Buildah, Podman, Crun);
    on_unified_host(|| hold_all(Way::Crun(Program::Podman, true)));
}

#[test]
fn newer_crun_layers() {
    require!(Root, Buildah, Engines, Crun);
    on_unified_host(|| hold_all(Way::NewerCrun(Program::Buildah, true)));
}

#[test]
fn newer_crun_podman() {
    require!(Root, Buildah, Engines, Crun);
    on_unified_host(|| hold_all(Way::NewerCrun(Program::Podman, true)));
}

#[test]
fn buildkitd() {
    require!(Root, Buildkitd);
    hold_all(Way::Buildkitd);
}
