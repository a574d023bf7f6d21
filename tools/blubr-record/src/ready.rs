//! Tells who started a monitor that it records now, as sd_notify(3) has it: what waits for that is in the record whole.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where the socket is named.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// Says so to the socket of this name.
pub fn tell(socket: &OsStr) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(socket),
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address?).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_to_a_path_and_to_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("blubr-ready-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (listening, told) in [
            (UnixDatagram::bind(&path), path.into_os_string()),
            (UnixDatagram::bind_addr(&abstract_name), format!("@{name}").into()),
        ] {
            let listening = listening.unwrap();
            tell(&told).unwrap();
            let mut said = [0; 16];
            let len = listening.recv(&mut said).unwrap();
            assert_eq!(&said[..len], b"READY=1");
        }
        assert!(tell(OsStr::new("/nobody/listens")).is_err());
    }
}
