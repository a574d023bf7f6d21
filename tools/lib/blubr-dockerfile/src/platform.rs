//! Platforms as containerd's `platforms` package reads and writes them: `linux/arm64`, `arm/v6`, `x86_64`.

use std::fmt;

/// An operating system and a processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `linux`, `windows`.
    pub os: String,
    /// What stands in parentheses behind it.
    pub os_version: String,
    /// `+name` behind the version, sorted.
    pub os_features: Vec<String>,
    /// `amd64`, `arm64`.
    pub architecture: String,
    /// `v7`; mostly empty.
    pub variant: String,
}

/// `isKnownOS`.
const OSES: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

/// `isKnownArch`.
const ARCHITECTURES: [&str; 23] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
];

impl Platform {
    /// Linux on an architecture as Rust names it (`std::env::consts::ARCH`).
    #[must_use]
    pub fn linux_on(rust_arch: &str) -> Self {
        let name = match rust_arch {
            "x86" => "386",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        let (architecture, variant) = normal_arch(name, "");
        let mut platform = Self::of("linux", architecture);
        platform.variant = variant;
        platform
    }

    fn of(os: &str, architecture: String) -> Self {
        Self {
            os: os.to_owned(),
            os_version: String::new(),
            os_features: Vec::new(),
            architecture,
            variant: String::new(),
        }
    }

    /// Reads a specifier and normalises it; what it leaves out is `host`'s.
    #[must_use]
    pub fn parse(text: &str, host: &Self) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(4, '/').collect();
        let (first, rest) = parts.split_first()?;
        let mut platform = Self::of("", String::new());
        platform.read_os(first)?;
        let is_part = |part: &&str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
        };
        if !rest.iter().all(is_part) {
            return None;
        }
        match rest {
            [] if OSES.contains(&platform.os.as_str()) => {
                platform.architecture.clone_from(&host.architecture);
                platform.variant.clone_from(&host.variant);
            }
            [] => {
                let (architecture, variant) = normal_arch(first, "");
                let known = ARCHITECTURES.contains(&architecture.as_str()) || architecture == "wasm";
                if !known {
                    return None;
                }
                platform = Self { variant, ..Self::of(&host.os, architecture) };
            }
            [arch] => (platform.architecture, platform.variant) = normal_arch(arch, ""),
            [arch, variant] => (platform.architecture, platform.variant) = normal_arch(arch, variant),
            _ => return None,
        }
        Some(platform)
    }

    /// `os`, `os(version)`, `os(version+feature)`.
    fn read_os(&mut self, text: &str) -> Option<()> {
        let (os, options) = match text.split_once('(') {
            Some((os, options)) => (os, options.strip_suffix(')')?),
            None => (text, ""),
        };
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let optional = |c: char| named(c) || matches!(c, '.' | '%' | '+');
        if os.is_empty() || !os.chars().all(named) || !options.chars().all(optional) {
            return None;
        }
        let os = os.to_ascii_lowercase();
        self.os = if os == "macos" { "darwin".to_owned() } else { os };
        let mut options = options.split('+');
        options.next().unwrap_or_default().clone_into(&mut self.os_version);
        self.os_features = options.filter(|f| !f.is_empty()).map(str::to_owned).collect();
        self.os_features.sort();
        self.os_features.dedup();
        Some(())
    }
}

/// `normalizeArch`, and arm's `v7` kept.
fn normal_arch(arch: &str, variant: &str) -> (String, String) {
    let (arch, variant) = (arch.to_ascii_lowercase(), variant.to_ascii_lowercase());
    let (arch, variant) = match (arch.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", v) => ("amd64", v),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64" | "arm64", v) => ("arm64", v),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        (arch, v) => (arch, v),
    };
    (arch.to_owned(), variant.to_owned())
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        if !self.os_version.is_empty() || !self.os_features.is_empty() {
            write!(f, "({}", self.os_version)?;
            for feature in &self.os_features {
                write!(f, "+{feature}")?;
            }
            f.write_str(")")?;
        }
        for part in [&self.architecture, &self.variant] {
            if !part.is_empty() {
                write!(f, "/{part}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_containerd_normalises() {
        let host = Platform::linux_on("x86_64");
        for (text, want) in [
            ("linux/amd64", Some("linux/amd64")),
            ("Linux/X86_64/v1", Some("linux/amd64")),
            ("amd64/v2", Some("amd64/v2")),
            ("linux/arm64/v8", Some("linux/arm64")),
            ("arm64", Some("linux/arm64")),
            ("aarch64", Some("linux/arm64")),
            ("linux/arm", Some("linux/arm/v7")),
            ("linux/arm/6", Some("linux/arm/v6")),
            ("armhf", Some("linux/arm/v7")),
            ("linux", Some("linux/amd64")),
            ("macos/arm64", Some("darwin/arm64")),
            ("windows(10.0.17763)/amd64", Some("windows(10.0.17763)/amd64")),
            ("", None),
            ("vax", None),
            ("linux/", None),
            ("linux/a/b/c", None),
            ("linux/*", None),
        ] {
            let got = Platform::parse(text, &host).map(|p| p.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }
}
