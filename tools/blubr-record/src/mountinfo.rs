//! The lines of /proc/PID/mountinfo: names in them are any bytes.

/// A line of mountinfo (proc_pid_mountinfo(5)).
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    /// Which directory of the file system is mounted.
    pub root: Vec<u8>,
    /// Where.
    pub target: Vec<u8>,
    /// Its type.
    pub fstype: Vec<u8>,
    /// What it was mounted from.
    pub source: Vec<u8>,
    /// The file system's own options.
    pub options: Vec<u8>,
}

impl Mount {
    /// Takes a line, without its newline, apart.
    pub fn parse(line: &[u8]) -> Option<Mount> {
        let mut fields = line.split(|b| *b == b' ');
        let root = fields.nth(3)?;
        let target = fields.next()?;
        // Optional fields, up to a single dash.
        fields.by_ref().find(|field| *field == b"-")?;
        let (fstype, source, options) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Mount {
            root: plain(root),
            target: plain(target),
            fstype: plain(fstype),
            source: plain(source),
            options: plain(options),
        })
    }
}

/// Undoes the octal escapes of mountinfo: `\040` is a space.
fn plain(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((b, after)) = rest.split_first() {
        if *b == b'\\'
            && let Some(code) = after.get(..3).and_then(octal)
        {
            out.push(code);
            rest = after.get(3..).unwrap_or_default();
        } else {
            out.push(*b);
            rest = after;
        }
    }
    out
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402 rw,noatime shared:1 master:2 - ext3 /dev/root rw,lowerdir=a\134:b";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(mount.root, b"/mnt1");
        assert_eq!(mount.target, b"/mnt 2");
        assert_eq!(mount.fstype, b"ext3");
        assert_eq!(mount.source, b"/dev/root");
        assert_eq!(mount.options, br"rw,lowerdir=a\:b");
        assert_eq!(Mount::parse(b"36 35 98:0 /"), None);
        assert_eq!(Mount::parse(b""), None);
    }
}
