//! A client's command line cut into options with their values and other words, as pflag cuts it: the word behind an option that
//! takes a value is that value, whatever it looks like.

/// Long options that take a value, by the `--help` of docker, docker buildx, podman, buildah and buildctl, of themselves and of
/// their `build`. One that is not known here is taken for a switch: a value that looks like an option is rarer than a new switch.
const WITH_VALUE: &str = "
    add-host addr allow annotation arch attest authfile build-arg build-arg-file build-context builder cache-from cache-to
    cache-ttl call cap-add cap-drop cdi-config-dir cdi-spec-dir cert-dir cgroup-manager cgroup-parent cgroupns config conmon
    connection context cpp-flag cpu-period cpu-quota cpu-shares cpuset-cpus cpuset-mems creds cw debug-json-cache-metrics
    decryption-key device dns dns-option dns-search env events-backend export-cache file format from frontend group-add
    hooks-dir host identity ignorefile iidfile imagestore import-cache ipc isolation jobs label layer-label local log-format
    log-level logfile manifest memory memory-swap metadata-file module namespace network network-cmd-path
    network-config-dir no-cache-filter oci-layout opt os os-feature os-version out output pid platform progress provenance
    ref-file registries-conf registries-conf-dir registry-auth-tlscontext retry retry-delay root runroot runtime runtime-flag
    sbom sbom-image-output sbom-image-purl-output sbom-merge-strategy sbom-output sbom-purl-output sbom-scanner-command
    sbom-scanner-image secret security-opt set shm-size short-name-alias-conf sign-by source-date-epoch source-policy-file ssh
    storage-driver storage-opt tag target timeout timestamp tls-ca tls-cert tls-key tlscacert tlscert tlsdir tlskey
    tlsservername tmpdir trace ulimit unsetannotation unsetenv unsetlabel url userns userns-gid-map userns-gid-map-group
    userns-uid-map userns-uid-map-user uts variant volume volumepath";

/// The letters of those that have one.
const LETTERS_WITH_VALUE: &str = "cfHlmotv";

/// An option's name without its dashes, and its value where it has one.
pub(super) type Given<'w> = (&'w str, Option<&'w str>);

/// All options in the order of the words; `--` ends them.
pub(super) fn options<'w>(words: &[&'w str]) -> Vec<Given<'w>> {
    cut(words).0
}

/// The words that are neither options nor their values, the program's name first.
pub(super) fn others<'w>(words: &[&'w str]) -> Vec<&'w str> {
    cut(words).1
}

fn cut<'w>(words: &[&'w str]) -> (Vec<Given<'w>>, Vec<&'w str>) {
    let (mut options, mut others) = (Vec::new(), Vec::new());
    let mut words = words.iter().copied();
    while let Some(word) = words.next().filter(|word| *word != "--") {
        if let Some(long) = word.strip_prefix("--") {
            options.push(match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None if WITH_VALUE.split_whitespace().any(|name| name == long) => (long, words.next()),
                None => (long, None),
            });
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            options.extend(letter_with_value(letters, &mut words));
        } else {
            others.push(word);
        }
    }
    others.extend(words);
    (options, others)
}

/// The first letter of a word that takes a value: the rest of the word is that, or else the next one. Those before it are
/// switches, and no one asks for those.
fn letter_with_value<'w>(
    letters: &'w str,
    words: &mut impl Iterator<Item = &'w str>,
) -> Option<Given<'w>> {
    let at = letters.find(|letter| LETTERS_WITH_VALUE.contains(letter) || letter == '=')?;
    let (name, rest) = letters.get(at..)?.split_at_checked(1)?;
    match rest {
        _ if name == "=" => None,
        "" => Some((name, words.next())),
        rest => Some((name, Some(rest.strip_prefix('=').unwrap_or(rest)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_written_once_and_none_is_a_switch() {
        let mut names: Vec<&str> = WITH_VALUE.split_whitespace().collect();
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
        let switches =
            ["squash", "squash-all", "no-cache", "pull", "rm", "layers", "quiet", "load", "push"];
        names.retain(|name| switches.contains(name));
        assert!(names.is_empty(), "{names:?}");
    }

    #[test]
    fn a_value_is_no_option_whatever_it_looks_like() {
        let words = "docker --context x build --build-arg --squash --label -f=a -t --target=b -qf c -fd -f=e --no-cache f --newer \
                     --g -t -- --target=h";
        assert_eq!(
            options(&words.split_whitespace().collect::<Vec<_>>()),
            [
                ("context", Some("x")),
                ("build-arg", Some("--squash")),
                ("label", Some("-f=a")),
                ("t", Some("--target=b")),
                ("f", Some("c")),
                ("f", Some("d")),
                ("f", Some("e")),
                ("no-cache", None),
                ("newer", None),
                ("g", None),
                ("t", Some("--")),
                ("target", Some("h")),
            ]
        );
    }

    #[test]
    fn words_that_are_no_options_stand_between_them() {
        let words = "docker --context build buildx -H x --builder=b build -t bake --rm - -- --a";
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(others(&words), ["docker", "buildx", "build", "-", "--a"]);
        assert!(others(&[]).is_empty());
    }

    #[test]
    fn two_dashes_end_them_and_one_is_standard_input() {
        assert_eq!(options(&["b", "-", "--a", "--", "--c"]), [("a", None)]);
        assert_eq!(options(&["b", "-f"]), [("f", None)]);
        assert_eq!(options(&["b", "-q=tf", "-é", "-éf", "x"]), [("f", Some("x"))]);
        assert_eq!(options(&["b", "--target"]), [("target", None)]);
    }
}
