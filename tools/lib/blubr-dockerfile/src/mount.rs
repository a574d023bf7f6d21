//! What `RUN --mount` may say once variables are replaced: BuildKit's `parseMount`.

use crate::error::excerpt;
use crate::flags::fields;
use crate::gotext::parse_bool;

/// What has been said of a mount so far.
#[derive(Default)]
struct Mount {
    kind: String,
    from: String,
    source: String,
    target: String,
    id: String,
    sharing: String,
    owned: bool,
}

/// What a mount (the value of `--mount`) takes files from: a stage, an image or a context. Of several the last counts. buildah cuts
/// at each comma, and so does this where there is no CSV.
pub(crate) fn mounted_from(mount: &str) -> Option<String> {
    let fields = fields(mount).unwrap_or_else(|| mount.split(',').map(str::to_owned).collect());
    let from = fields.iter().rev().find_map(|field| {
        let (key, from) = field.split_once('=')?;
        key.eq_ignore_ascii_case("from").then(|| from.to_owned())
    });
    from.filter(|from| !from.is_empty())
}

/// `units.RAMInBytes`, as far as to say whether it takes the text: a number, a unit of K to P, `B` or `iB`.
fn is_size(text: &str) -> bool {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_lowercase();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    number.parse::<f64>().is_ok() && matches!(unit, "" | "k" | "m" | "g" | "t" | "p")
}

/// Says what is wrong with the fields of a mount.
pub(crate) fn check_mount(fields: &[String]) -> Result<(), String> {
    let mut mount = Mount { kind: "bind".to_owned(), ..Mount::default() };
    for field in fields {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value)),
            None => (field.to_lowercase(), None),
        };
        mount.read(&key, value)?;
    }
    mount.agrees()
}

impl Mount {
    fn read(&mut self, key: &str, value: Option<&str>) -> Result<(), String> {
        let shown = excerpt(value.unwrap_or_default());
        let bad = || Err(format!("{} can't be \"{shown}\"", excerpt(key)));
        let here = |kinds: &[&str]| {
            if kinds.contains(&self.kind.as_str()) {
                Ok(())
            } else {
                Err(format!("a {} mount has no {}", self.kind, excerpt(key)))
            }
        };
        if key == "required" {
            here(&["secret", "ssh"])?;
        }
        let Some(value) = value else {
            return match key {
                "readonly" | "ro" | "readwrite" | "rw" | "required" => Ok(()),
                _ => Err(format!("{} needs a value", excerpt(key))),
            };
        };
        match key {
            "type" => {
                let kind = value.to_lowercase();
                if !matches!(kind.as_str(), "bind" | "cache" | "tmpfs" | "secret" | "ssh") {
                    return bad();
                }
                self.kind = kind;
            }
            "from" => value.clone_into(&mut self.from),
            "source" | "src" => value.clone_into(&mut self.source),
            "target" | "dst" | "destination" => value.clone_into(&mut self.target),
            "readonly" | "ro" | "readwrite" | "rw" | "required" if parse_bool(value).is_none() => {
                return bad();
            }
            "readonly" | "ro" | "readwrite" | "rw" | "required" | "env" => {}
            "size" => {
                here(&["tmpfs"])?;
                if !is_size(value) {
                    return bad();
                }
            }
            "id" => value.clone_into(&mut self.id),
            "sharing" => {
                let sharing = value.to_lowercase();
                if !matches!(sharing.as_str(), "shared" | "private" | "locked") {
                    return bad();
                }
                self.sharing = sharing;
            }
            "mode" | "uid" | "gid" => {
                let radix = if key == "mode" { 8 } else { 10 };
                if value.starts_with('+') || u32::from_str_radix(value, radix).is_err() {
                    return bad();
                }
                self.owned = true;
            }
            _ => return Err(format!("a mount has no \"{}\"", excerpt(key))),
        }
        Ok(())
    }

    fn agrees(&self) -> Result<(), String> {
        let kind = self.kind.as_str();
        let wrong = if self.owned && !matches!(kind, "secret" | "ssh" | "cache") {
            "no mode, uid or gid"
        } else if !self.sharing.is_empty() && kind != "cache" {
            "no sharing"
        } else if kind == "secret" && !self.from.is_empty() {
            "no from"
        } else if kind == "secret" && [&self.source, &self.target, &self.id].iter().all(|t| t.is_empty())
        {
            "nothing that says which: id or target"
        } else if kind == "secret" && !self.source.is_empty() && !self.id.is_empty() {
            "id or source, not both"
        } else {
            return Ok(());
        };
        Err(format!("a {kind} mount has {wrong}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<(), String> {
        check_mount(&text.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_a_mount_takes_from() {
        for (mount, from) in [
            ("type=bind,from=a,target=/x", Some("a")),
            ("from=a,FROM=b,src=from=c", Some("b")),
            ("type=bind,\"from=a,b\"", Some("a,b")),
            ("type=b\"ind,from=a", Some("a")),
            ("type=cache,target=/x", None),
            ("from=", None),
            ("", None),
        ] {
            assert_eq!(mounted_from(mount).as_deref(), from, "{mount}");
        }
    }

    #[test]
    fn mounts() {
        for good in [
            "type=cache,target=/x,sharing=locked,mode=0755,uid=1",
            "type=bind,from=a,src=/y,dst=/x,rw",
            "TYPE=Secret,id=a,required,env=A",
            "type=ssh",
            "type=tmpfs,target=/t,size=100m",
            "target=/x,ro=false",
        ] {
            assert_eq!(of(good), Ok(()), "{good}");
        }
        for bad in [
            "type=x",
            "target=/x,mode=1",
            "required",
            "type=secret",
            "type=secret,id=a,src=b",
            "size=1",
            "type=tmpfs,size=x",
            "target",
            "ro=maybe",
            "sharing=shared",
            "typo=a",
            "type=cache,uid=-1",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
