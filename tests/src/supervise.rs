//! A program that serves a test and ends with it, however the test ends.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

/// Ends its program, and removes its folder, when standard input ends: so also when the test process was killed, and
/// for values in statics, which Rust never drops.
const KEEPER: &str = r#"
folder=$1
shift
exec 3<&0
"$@" </dev/null &
program=$!
trap 'kill "$program" 2>/dev/null; wait "$program" 2>/dev/null; rm -rf "$folder"' EXIT
trap 'exit 143' INT TERM HUP
read -r _ <&3
exit 0
"#;

/// A program that runs until this value is dropped or the test process ends.
#[derive(Debug)]
pub struct Supervised {
    keeper: Child,
    hold: Option<ChildStdin>,
}

impl Supervised {
    /// Starts `command`; `folder` is removed after its end. The command's environment is passed on; its standard
    /// output and error go to `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: &Command, folder: &OsStr, log: std::fs::File) -> Self {
        let mut keeper = Command::new("/bin/bash");
        keeper.arg("-c").arg(KEEPER).arg("keeper").arg(folder);
        keeper.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => keeper.env(key, value),
                None => keeper.env_remove(key),
            };
        }
        let errors = log.try_clone().expect("a file can be cloned");
        let mut keeper = keeper
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .expect("bash can be started");
        let hold = keeper.stdin.take();
        Self { keeper, hold }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.hold.take());
        // A keeper that cannot be waited for has nothing left to keep.
        drop(self.keeper.wait());
    }
}

/// The folder of this test process: whatever lies in it goes with the process, whatever its end. On a real file system
/// (not TMPDIR), and short, for sockets.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn process_folder() -> &'static Path {
    static KEPT: OnceLock<(std::path::PathBuf, Supervised)> = OnceLock::new();
    let (folder, _) = KEPT.get_or_init(|| {
        let folder = tempfile::Builder::new()
            .prefix("blubr-tests.")
            .tempdir_in("/var/tmp")
            .expect("a folder")
            .keep();
        let log = std::fs::File::create(folder.join("keeper.log")).expect("the folder is writable");
        let keeper = Supervised::start(Command::new("sleep").arg("infinity"), folder.as_os_str(), log);
        (folder, keeper)
    });
    folder
}
