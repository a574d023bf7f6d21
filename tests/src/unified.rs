//! A host that has only cgroup v2, as most have by now: where this one has more, a mount namespace in which it has not.

use std::process::{Command, Stdio};

use crate::program::text_of;

/// Mounts that tree alone where the host's are, and runs a program there, which ends with whoever asked for it.
const VIEW: &str = r#"
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
exec setpriv --pdeathsig TERM -- "$@"
"#;
/// Set in that namespace.
const WITHIN: &str = "BLUBR_UNIFIED";

/// Runs a test's body on a host that has but cgroup v2: here, or in a second run of the test in such a view of this host. All
/// that the test starts is in the same view then, recorder and engine as well. A test asks for `Prerequisite::Root` first.
///
/// # Panics
/// When the body does, or there can be no such view.
pub fn on_unified_host(body: impl FnOnce()) {
    if text_of(Command::new("stat").args(["--file-system", "--format=%T", "/sys/fs/cgroup"]))
        == "cgroup2fs"
    {
        return body();
    }
    assert!(std::env::var_os(WITHIN).is_none(), "cgroup2 was not mounted");
    let this = std::env::current_exe().expect("the kernel knows it");
    let thread = std::thread::current();
    let test = thread.name().expect("each test has a thread of its name");
    let mut again = Command::new("unshare");
    again.args(["--mount", "--propagation=private", "--", "sh", "-e", "-c", VIEW, "sh"]).arg(this);
    again.args(["--exact", test, "--nocapture"]).env(WITHIN, "yes").stdin(Stdio::null());
    assert!(again.status().expect("unshare can be started").success(), "{test} failed; see above");
}
