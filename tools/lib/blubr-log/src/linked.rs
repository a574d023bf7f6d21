//! Names that go through the link which the kernel makes up for a descriptor: those of which `fd_path` may tell.

/// How such a name begins, before the descriptor's number (fs/proc/fd.c). /dev/fd is a symlink to the first's directory. The
/// probes know the same beginnings: probes/linked.bpf.h.
const LINKS: [&[u8]; 3] = [b"/proc/self/fd/", b"/proc/thread-self/fd/", b"/dev/fd/"];

/// What follows the link of a descriptor that a name begins with: nothing, where the name ends with it, or the rest from its
/// slash on. `None` for any other name.
pub fn behind_descriptor(name: &[u8]) -> Option<&[u8]> {
    let below = LINKS.iter().find_map(|link| name.strip_prefix(*link))?;
    let digits = below.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let behind = below.get(digits..)?;
    (digits > 0 && matches!(behind.first(), None | Some(b'/'))).then_some(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_on_behind_the_link_of_a_descriptor() {
        let behind = |name: &'static str| behind_descriptor(name.as_bytes());
        assert_eq!(behind("/proc/self/fd/3"), Some(&b""[..]));
        assert_eq!(behind("/proc/thread-self/fd/12/a/b"), Some(&b"/a/b"[..]));
        assert_eq!(behind("/dev/fd/0//x"), Some(&b"//x"[..]));
        for other in [
            "/proc/self/fd",
            "/proc/self/fd/",
            "/proc/self/fd/x",
            "/proc/self/fd/3x",
            "/proc/self/fd/+3",
            "/proc/7/fd/3",
            "/fd/3",
            "proc/self/fd/3",
        ] {
            assert_eq!(behind(other), None, "{other}");
        }
    }
}
