//! What a control group's path says of the container that it was made for.

use crate::path::base;

/// The group that crun makes in the scope that systemd gave it (crun, src/libcrun/cgroup-systemd.c, `find_systemd_subgroup`).
const WITHIN_SCOPE: &[u8] = b"container";

/// The name that the engine gave the container, where the group is a container's at all: the group's own name, as engines
/// write it themselves (moby, daemon/oci_linux.go, `withCgroups`; BuildKit, executor/oci/spec.go, `GenerateSpec`), or what
/// stands in `<prefix>-<name>.scope`, where systemd makes the groups.
pub(crate) fn container_of(group: &[u8]) -> &[u8] {
    let name = base(group);
    let above = group.strip_suffix(name).and_then(|above| above.strip_suffix(b"/"));
    let scope = match above {
        Some(above) if name == WITHIN_SCOPE => base(above),
        _ => name,
    };
    named_in(scope).unwrap_or(name)
}

fn named_in(scope: &[u8]) -> Option<&[u8]> {
    let unit = scope.strip_suffix(b".scope")?;
    let dash = unit.iter().position(|byte| *byte == b'-')?;
    unit.get(dash + 1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_s_name_is_found_in_the_forms_of_both_drivers() {
        for (group, wanted) in [
            ("/docker/ID", "ID"),
            ("/docker/buildkit/ID", "ID"),
            ("/system.slice/docker-ID.scope", "ID"),
            ("/system.slice/docker-ID.scope/container", "ID"),
            ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope/container", "ID"),
            ("/machine.slice/libpod-ID.scope/container", "ID"),
            ("/system.slice/crun-buildah-buildah2489643181.scope", "buildah-buildah2489643181"),
            ("/buildah-buildah2489643181", "buildah-buildah2489643181"),
            // That of conmon, and what a container makes in its own.
            ("/machine.slice/libpod-conmon-ID.scope", "conmon-ID"),
            ("/system.slice/docker-ID.scope/other", "other"),
            ("/system.slice/docker-ID.scope/container/container", "container"),
            ("/system.slice/ssh.service/container", "container"),
            ("/system.slice/run.scope", "run.scope"),
            ("container", "container"),
            ("/", ""),
            ("", ""),
        ] {
            assert_eq!(container_of(group.as_bytes()), wanted.as_bytes(), "{group}");
        }
    }
}
