//! Credentials of registries, from the file that `docker login`, `skopeo login` and `podman login` write.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blubr_image::Error;
use serde::Deserialize;

use crate::files;

/// An auth file is a few kB; one larger than this is none, in bytes.
const AUTH_FILE_BYTES_MAX: usize = 4 << 20;
/// What a credential helper answers, in bytes.
const HELPER_BYTES_MAX: usize = 1 << 20;

/// What is shown to a registry. It has no `Debug`: it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Nothing.
    Anonymous,
    /// A name and a password.
    Basic { user: String, password: String },
    /// A refresh token that is exchanged for others.
    Identity(String),
}

#[derive(Default, Deserialize)]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
    #[serde(default, rename = "identitytoken")]
    identity: String,
}

/// The credentials for `repository` at `host`. A missing file is none; a file that can't be read is an error.
///
/// Where the file names a credential helper for the host, `docker-credential-NAME get` is run, as the Docker client does.
pub(crate) fn credentials(
    file: Option<&Path>,
    host: &str,
    repository: &str,
) -> Result<Credentials, Error> {
    let Some(path) = file.filter(|path| path.exists()) else { return Ok(Credentials::Anonymous) };
    let bytes = files::read(path, AUTH_FILE_BYTES_MAX)?;
    // Not the parser's words: they could repeat a secret.
    let parsed: AuthFile = serde_json::from_slice(&bytes).map_err(|error| Error::Json {
        what: "the file with registries' credentials",
        reason: format!("{}: line {}, column {}", path.display(), error.line(), error.column()),
    })?;
    if let Some((_, helper)) = parsed.helpers.iter().find(|(key, _)| is_host(key, host)) {
        return ask_helper(helper, host);
    }
    if let Some(auth) = best(&parsed.auths, host, repository)
        && (!auth.auth.is_empty() || !auth.identity.is_empty())
    {
        return decode(auth, path);
    }
    match parsed.store.filter(|store| !store.is_empty()) {
        Some(helper) => ask_helper(&helper, host),
        None => Ok(Credentials::Anonymous),
    }
}

/// Keys are hosts, or URLs in Docker's file, or hosts and leading parts of a repository in containers-auth.json(5),
/// where the longest wins.
fn best<'a>(auths: &'a BTreeMap<String, Auth>, host: &str, repository: &str) -> Option<&'a Auth> {
    let whole = format!("{host}/{repository}");
    let mut prefix = whole.as_str();
    loop {
        if let Some(auth) = auths.get(prefix) {
            return Some(auth);
        }
        match prefix.rsplit_once('/') {
            Some((shorter, _)) => prefix = shorter,
            None => break,
        }
    }
    auths.iter().find(|(key, _)| is_host(key, host)).map(|(_, auth)| auth)
}

fn is_host(key: &str, host: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let bare = match bare {
        Some(url) => url.split('/').next().unwrap_or_default(),
        None => key,
    };
    let hub = ["docker.io", "index.docker.io", "registry-1.docker.io"];
    bare == host || hub.contains(&bare) && hub.contains(&host)
}

fn decode(auth: &Auth, path: &Path) -> Result<Credentials, Error> {
    if !auth.identity.is_empty() {
        return Ok(Credentials::Identity(auth.identity.clone()));
    }
    let wrong = || {
        Error::Source(format!("{}: a registry's `auth` is not base64 of NAME:PASSWORD", path.display()))
    };
    let bytes = STANDARD.decode(auth.auth.trim()).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (user, password) = text.split_once(':').ok_or_else(wrong)?;
    // Docker's client pads with NULs.
    let password = password.trim_matches('\0');
    Ok(Credentials::Basic { user: user.to_owned(), password: password.to_owned() })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

fn ask_helper(name: &str, host: &str) -> Result<Credentials, Error> {
    let program = format!("docker-credential-{name}");
    let failed = |why: String| Error::Source(format!("{}: {why}", program.escape_default()));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(failed("this is no credential helper's name".to_owned()));
    }
    let server = if host == "docker.io" { "https://index.docker.io/v1/" } else { host };
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("can't be run: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(server.as_bytes());
    }
    let answer = match child.stdout.take() {
        Some(stdout) => files::read_bounded(stdout, HELPER_BYTES_MAX),
        None => Ok(Vec::new()),
    };
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    let answer = answer.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        // "credentials not found in native keychain" is the helper's way to say: none.
        if String::from_utf8_lossy(&answer).contains("not found") {
            return Ok(Credentials::Anonymous);
        }
        return Err(failed(format!("failed ({status})")));
    }
    let answer: HelperAnswer = serde_json::from_slice(&answer)
        .map_err(|_| failed("its answer is not what it should be".to_owned()))?;
    Ok(match answer.username.as_str() {
        "<token>" => Credentials::Identity(answer.secret),
        _ => Credentials::Basic { user: answer.username, password: answer.secret },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(json: &str, host: &str, repository: &str) -> Option<String> {
        let file: AuthFile = serde_json::from_str(json).unwrap();
        best(&file.auths, host, repository).map(|auth| auth.auth.clone())
    }

    #[test]
    fn the_longest_key_that_fits_is_taken() {
        let json = r#"{"auths":{"h.example":{"auth":"a"},"h.example/team":{"auth":"b"},"h.example/team/app":{"auth":"c"},
            "https://index.docker.io/v1/":{"auth":"d"},"https://other.example:5000":{"auth":"e"}}}"#;
        assert_eq!(find(json, "h.example", "x").as_deref(), Some("a"));
        assert_eq!(find(json, "h.example", "team/x").as_deref(), Some("b"));
        assert_eq!(find(json, "h.example", "team/app").as_deref(), Some("c"));
        assert_eq!(find(json, "docker.io", "library/app").as_deref(), Some("d"));
        assert_eq!(find(json, "other.example:5000", "x").as_deref(), Some("e"));
        assert_eq!(find(json, "other.example", "x"), None);
        assert_eq!(find(json, "h.example.evil", "x"), None);
    }

    #[test]
    fn a_password_may_hold_colons_and_errors_hold_no_secret() {
        let auth = Auth { auth: STANDARD.encode("me:a:b"), identity: String::new() };
        let found = decode(&auth, Path::new("f")).ok();
        assert!(found == Some(Credentials::Basic { user: "me".to_owned(), password: "a:b".to_owned() }));
        let auth = Auth { auth: "hunter2".to_owned(), identity: String::new() };
        let error = decode(&auth, Path::new("f")).err().map(|error| error.to_string()).unwrap();
        assert!(!error.contains("hunter2"));
        assert!(ask_helper("../../bin/x", "h.example").is_err());
    }
}
