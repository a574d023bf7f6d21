//! Whether a name can be an image's: the grammar of `distribution/reference`, with Docker's defaults.

/// `docker.io/library/debian:12`, `debian@sha256:...`, `localhost:5000/a/b`.
pub(crate) fn is_reference(text: &str) -> bool {
    /// `NameTotalLengthMax`.
    const NAME_BYTES_MAX: usize = 255;
    if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return false;
    }
    let (named, digest) = match text.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (text, None),
    };
    // A colon behind the last slash begins a tag; before it, a port.
    let slash = named.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match named.get(slash..).and_then(|last| last.split_once(':')) {
        Some((last, tag)) => (named.get(..slash + last.len()).unwrap_or(named), Some(tag)),
        None => (named, None),
    };
    let (domain, path) = match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first =>
        {
            (Some(first), rest)
        }
        _ => (None, name),
    };
    let length = path.len() + domain.map_or("docker.io/library".len(), str::len) + 1;
    length <= NAME_BYTES_MAX
        && domain.is_none_or(is_domain)
        && path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

fn is_domain(domain: &str) -> bool {
    if let Some((address, port)) = domain.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let hex = address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        return hex && !address.is_empty() && (port.is_empty() || is_port(port.strip_prefix(':')));
    }
    let (host, port) = match domain.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (domain, None),
    };
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    host.split('.').all(part) && (port.is_none() || is_port(port))
}

fn is_port(port: Option<&str>) -> bool {
    port.is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Lower-case letters and digits, in pieces joined by `.`, `_`, `__` or dashes.
fn is_component(component: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut rest = component;
    loop {
        let Some(behind) = rest.strip_prefix(is_word) else { return false };
        rest = behind.trim_start_matches(is_word);
        if rest.is_empty() {
            return true;
        }
        let behind = rest.trim_start_matches('-');
        rest = if behind.len() < rest.len() {
            behind
        } else {
            match rest.strip_prefix("__").or_else(|| rest.strip_prefix(['_', '.'])) {
                Some(behind) => behind,
                None => return false,
            }
        };
    }
}

fn is_tag(tag: &str) -> bool {
    /// Of the grammar.
    const TAG_BYTES_MAX: usize = 128;
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= TAG_BYTES_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        for good in [
            "debian",
            "debian:12",
            "a/b__c--d.e:X_1",
            "localhost:5000/a",
            "REG.example/a",
            "[::1]:5000/a",
            "localhost/a",
            &digest,
        ] {
            assert!(is_reference(good), "{good}");
        }
        for bad in [
            "",
            "Debian",
            "a:",
            "a:-x",
            "a//b",
            "/a",
            "a b",
            "a_",
            "a..b",
            "a@sha256:00",
            "$x",
            "a/B",
            &"0".repeat(64),
            &"a".repeat(256),
            "-x.y/a",
        ] {
            assert!(!is_reference(bad), "{bad}");
        }
    }
}
