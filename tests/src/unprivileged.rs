//! Runs a program as an ordinary user with subordinate ids, who exists in a mount namespace of the program's alone: nothing of
//! the host changes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::program::stdout_of;
use crate::supervise::process_folder;

/// The user's id and group, and name.
const ID: u32 = 48_484;
const NAME: &str = "blubr-tests";
/// Where subordinate ids begin, and how many there are.
const SUBORDINATE: (u32, u32) = (4_848_000, 65_536);

/// The files that say who is there.
const FILES: [&str; 4] = ["passwd", "group", "subuid", "subgid"];
/// Puts the user into the files that say who is there, opens the device of networks in user space to it (as udev does), and
/// becomes it: `sh -c SCRIPT sh FILES ID PROGRAM...`.
const BECOME: &str = r#"
for name in passwd group subuid subgid; do mount --bind "$1/$name" "/etc/$name"; done
if [ -c /dev/net/tun ]; then
  mount -t tmpfs -o mode=755 none /dev/net
  mknod -m 666 /dev/net/tun c 10 200
fi
id=$2
shift 2
exec setpriv --reuid "$id" --regid "$id" --clear-groups -- "$@"
"#;

/// The command of a program that the user runs, with a home of its own in `home`.
///
/// # Panics
/// When the files that say who is there cannot be written.
#[must_use]
pub fn command(program: &Path, home: &Path) -> Command {
    let files = process_folder().join("users");
    write_users(&files, home);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation=private", "--", "sh", "-e", "-c", BECOME, "sh"]);
    command.arg(files).arg(ID.to_string()).arg(program);
    command.env("HOME", home).env("USER", NAME).env("XDG_RUNTIME_DIR", home).current_dir(home);
    command
}

fn write_users(files: &Path, home: &Path) {
    let (first, count) = SUBORDINATE;
    let subordinate = format!("{NAME}:{first}:{count}\n");
    let home = home.display();
    std::fs::create_dir_all(files).expect("the folder is ours");
    let texts = [
        format!("root:x:0:0:root:/root:/bin/sh\n{NAME}:x:{ID}:{ID}::{home}:/bin/sh\n"),
        format!("root:x:0:\n{NAME}:x:{ID}:\n"),
        subordinate.clone(),
        subordinate,
    ];
    for (name, line) in FILES.into_iter().zip(texts) {
        std::fs::write(files.join(name), line).expect("the folder is ours");
    }
}

/// Gives a folder of the test's to the user, with a way to it.
///
/// # Panics
/// When it is not the test's to give.
pub fn hand_over(folder: &Path) {
    let own = Path::new("/var/tmp");
    for above in folder.ancestors().skip(1).take_while(|above| above.starts_with(own) && *above != own) {
        let mode = std::fs::metadata(above).expect("it is there").permissions().mode();
        let open = std::fs::Permissions::from_mode(mode | 0o011);
        std::fs::set_permissions(above, open).expect("the folder is ours");
    }
    drop(stdout_of(Command::new("chown").args(["-R", &format!("{ID}:{ID}")]).arg(folder)));
}

/// What is missing for such a user, if anything.
#[must_use]
pub fn missing() -> Option<String> {
    let absent = FILES.iter().map(|name| format!("/etc/{name}")).find(|path| !Path::new(path).exists());
    if let Some(path) = absent {
        return Some(format!("no {path} to put another in place of"));
    }
    let count = std::fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    (count.trim() == "0")
        .then(|| "this kernel gives nobody user namespaces (user.max_user_namespaces)".to_owned())
}
