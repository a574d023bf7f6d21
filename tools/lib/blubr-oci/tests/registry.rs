//! Registries that the real ones at hand are not: with tokens, with pages, with lies. A thread on loopback plays them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use blubr_oci::{Artifact, Digest, How, Options, Reference, referrers};

mod played;

use played::{answer, registry};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn manifest() -> String {
    let empty = Digest::sha256(b"{}");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{empty}","size":2}},"layers":[]}}"#
    )
}

fn subject() -> Digest {
    Digest::sha256(manifest().as_bytes())
}

fn descriptor(text: &str) -> String {
    let digest = Digest::sha256(text.as_bytes());
    format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":1,"artifactType":"t"}}"#)
}

fn index(entries: &[String]) -> String {
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","))
}

fn names(address: &str) -> Reference {
    Reference::parse(&format!("{address}/app:1")).unwrap()
}

fn list(address: &str, options: &Options) -> Result<usize, String> {
    let mut place = referrers(&names(address), options).map_err(|error| error.to_string())?;
    place.referrers(&subject()).map(|list| list.len()).map_err(|error| error.to_string())
}

fn error(address: &str) -> String {
    let error = list(address, &Options::default()).unwrap_err();
    assert!(error.len() < 600 && !error.contains('\n'), "{error}");
    error
}

#[test]
fn all_pages_of_referrers_are_read() {
    let address = registry(|asked, _| {
        let next = |page: &str| format!("</v2/app/referrers/{}?page={page}>; rel=\"next\"", subject());
        match asked.path.split("page=").nth(1) {
            None => answer(
                200,
                &[("content-type", INDEX), ("link", &next("2"))],
                index(&[descriptor("a"), descriptor("b")]),
            ),
            Some("2") => {
                answer(200, &[("content-type", INDEX), ("link", &next("3"))], index(&[descriptor("c")]))
            }
            _ => answer(200, &[("content-type", INDEX)], index(&[descriptor("d"), descriptor("a")])),
        }
    });
    assert_eq!(list(&address, &Options::default()), Ok(4));
}

#[test]
fn pages_without_end_or_at_another_host_are_refused() {
    let endless = registry(|asked, _| {
        let link = format!("<{}>; rel=\"next\"", asked.path);
        answer(200, &[("content-type", INDEX), ("link", &link)], index(&[]))
    });
    assert!(error(&endless).contains("pages"));
    let long = registry(|asked, _| {
        let link = format!("<{}>; rel=\"next\"", asked.path);
        let page = format!("{}{}", index(&[descriptor("a")]), " ".repeat(3 << 20));
        answer(200, &[("content-type", INDEX), ("link", &link)], page)
    });
    assert!(error(&long).contains("larger"));
    let elsewhere = registry(|_, _| {
        answer(
            200,
            &[("content-type", INDEX), ("link", "<http://198.51.100.1/v2/>; rel=\"next\"")],
            index(&[]),
        )
    });
    assert!(error(&elsewhere).contains("another host"));
}

#[test]
fn an_error_is_never_an_empty_list() {
    for status in [400, 403, 429, 500] {
        let body = r#"{"errors":[{"code":"DENIED","message":"no\u001b[2Jway"}]}"#;
        let address = registry(move |_, _| answer(status, &[], body));
        let error = error(&address);
        assert!(error.contains(&status.to_string()) && error.contains("DENIED"), "{error}");
        assert!(!error.contains('\x1b'), "{error}");
        // Nor behind the fallback tag.
        let address = registry(move |asked, _| match asked.path.contains("/referrers/") {
            true => answer(404, &[], ""),
            false => answer(status, &[], body),
        });
        assert!(list(&address, &Options::default()).is_err());
    }
    let neither = registry(|_, _| answer(404, &[], ""));
    assert_eq!(list(&neither, &Options::default()), Ok(0));
    // A front end with a page for everything has no referrers API.
    let page = registry(|asked, _| match asked.path.contains("/referrers/") {
        true => answer(200, &[("content-type", "text/html")], "<html>"),
        false => answer(404, &[], ""),
    });
    assert_eq!(list(&page, &Options::default()), Ok(0));
}

#[test]
fn what_fails_for_a_moment_is_asked_for_again() {
    let count = Arc::new(Mutex::new(0));
    let asked_times = Arc::clone(&count);
    let address = registry(move |_, _| {
        let mut count = count.lock().unwrap();
        *count += 1;
        match *count {
            1 => answer(500, &[], ""),
            2 => answer(429, &[("retry-after", "0")], ""),
            _ => answer(200, &[("content-type", INDEX)], index(&[descriptor("a")])),
        }
    });
    assert_eq!(list(&address, &Options::default()), Ok(1));
    assert_eq!(*asked_times.lock().unwrap(), 3);
}

#[test]
fn hostile_answers_are_errors() {
    let huge = registry(|_, _| answer(200, &[("content-type", INDEX)], vec![b' '; 5 << 20]));
    assert!(error(&huge).contains("larger"));
    let garbage = registry(|_, _| answer(200, &[("content-type", INDEX)], "{"));
    error(&garbage);
    let loops = registry(|asked, _| answer(307, &[("location", &asked.path)], ""));
    assert!(error(&loops).contains("redirect"));
    let other_digest = registry(|_, _| {
        let claimed = Digest::sha256(b"other");
        answer(
            200,
            &[("content-type", MANIFEST), ("docker-content-digest", claimed.as_str())],
            manifest(),
        )
    });
    let mut place = referrers(&names(&other_digest), &Options::default()).unwrap();
    assert!(place.targets().unwrap_err().to_string().contains("altered"));
    let by_digest =
        Reference::parse(&format!("{other_digest}/app@{}", Digest::sha256(b"asked"))).unwrap();
    assert!(referrers(&by_digest, &Options::default()).unwrap().targets().is_err());
}

/// An auth file with `entry` for a host.
struct AuthFile(PathBuf);

impl AuthFile {
    fn new(name: &str, address: &str, entry: &str) -> AuthFile {
        let path = std::env::temp_dir().join(format!("blubr-auth-{name}.{}", std::process::id()));
        std::fs::write(&path, format!(r#"{{"auths":{{"{address}":{entry}}}}}"#)).unwrap();
        AuthFile(path)
    }

    fn options(&self) -> Options {
        let mut options = Options::default();
        options.auth_file = Some(self.0.clone());
        options
    }
}

impl Drop for AuthFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

// echo -n 'me:se:cret' | base64
const AUTH: &str = r#"{"auth":"bWU6c2U6Y3JldA=="}"#;
const BASIC: &str = "Basic bWU6c2U6Y3JldA==";

#[test]
fn a_name_and_password_are_shown_when_asked_for() {
    let address = registry(|asked, _| match asked.header("authorization") {
        BASIC => answer(200, &[("content-type", INDEX)], index(&[descriptor("a")])),
        _ => answer(401, &[("www-authenticate", "Basic realm=\"x\"")], ""),
    });
    assert!(error(&address).contains("docker login"));
    assert_eq!(list(&address, &AuthFile::new("basic", &address, AUTH).options()), Ok(1));
    let file = AuthFile::new("wrong", &address, r#"{"auth":"bWU6d3Jvbmc="}"#);
    let error = list(&address, &file.options()).unwrap_err();
    assert!(error.contains("401") && !error.contains("wrong"), "{error}");
}

#[test]
fn a_token_is_fetched_with_the_credentials_and_the_scope_that_is_asked_for() {
    let address = registry(|asked, own| {
        if let Some(query) = asked.path.strip_prefix("/token?") {
            let right = query == "service=s&scope=repository%3Aapp%3Apull"
                && asked.header("authorization") == BASIC;
            return if right { answer(200, &[], r#"{"token":"abc"}"#) } else { answer(500, &[], query) };
        }
        if asked.path == "/token" && asked.method == "POST" {
            let form = String::from_utf8_lossy(&asked.body).into_owned();
            let right =
                form.contains("grant_type=refresh_token") && form.contains("refresh_token=r%2F1");
            return if right {
                answer(200, &[], r#"{"access_token":"abc"}"#)
            } else {
                answer(500, &[], form)
            };
        }
        match asked.header("authorization") {
            "Bearer abc" => answer(200, &[("content-type", INDEX)], index(&[descriptor("a")])),
            _ => {
                let challenge = format!(
                    "Bearer realm=\"http://{own}/token\",service=\"s\",scope=\"repository:app:pull\""
                );
                answer(401, &[("www-authenticate", &challenge)], "")
            }
        }
    });
    assert_eq!(list(&address, &AuthFile::new("token", &address, AUTH).options()), Ok(1));
    let file = AuthFile::new("identity", &address, r#"{"identitytoken":"r/1"}"#);
    assert_eq!(list(&address, &file.options()), Ok(1));
    assert!(error(&address).contains("500"));
}

fn attach(place: &mut dyn blubr_oci::Referrers) -> blubr_oci::Attached {
    let target = place.targets().unwrap().remove(0);
    let artifact =
        Artifact { artifact_type: "t/t", title: "f", bytes: b"content", annotations: BTreeMap::new() };
    place.attach(&target.descriptor, &artifact).unwrap()
}

#[test]
fn credentials_follow_no_upload_to_another_host() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let storage = registry(move |asked, _| {
        log.lock().unwrap().push((asked.method.clone(), asked.header("authorization").to_owned()));
        answer(201, &[], "")
    });
    let address = registry(move |asked, _| {
        if asked.header("authorization").is_empty() {
            return answer(401, &[("www-authenticate", "Basic realm=\"x\"")], "");
        }
        match asked.method.as_str() {
            "POST" => answer(202, &[("location", &format!("http://{storage}/put?x=1"))], ""),
            "PUT" => answer(201, &[("oci-subject", subject().as_str())], ""),
            "GET" if asked.path.contains("/referrers/") => {
                answer(200, &[("content-type", INDEX)], index(&[]))
            }
            "GET" => answer(200, &[("content-type", MANIFEST)], manifest()),
            _ => answer(404, &[], ""),
        }
    });
    let file = AuthFile::new("upload", &address, AUTH);
    let mut place = referrers(&names(&address), &file.options()).unwrap();
    assert_eq!(attach(place.as_mut()).how, Some(How::Api));
    let seen = seen.lock().unwrap();
    assert_eq!(*seen, [("PUT".to_owned(), String::new()), ("PUT".to_owned(), String::new())]);
}

#[test]
fn credentials_are_shown_to_nobody_that_the_registry_sends_us_to() {
    let shown = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&shown);
    let fisher = registry(move |asked, own| {
        log.lock().unwrap().push(asked.header("authorization").to_owned());
        let realm = format!("Bearer realm=\"http://{own}/token\"");
        answer(401, &[("www-authenticate", &realm)], "")
    });
    let redirects = registry({
        let fisher = fisher.clone();
        move |asked, _| answer(307, &[("location", &format!("http://{fisher}{}", asked.path))], "")
    });
    let uploads = registry(move |asked, _| match asked.method.as_str() {
        "POST" => answer(202, &[("location", &format!("http://{fisher}/put"))], ""),
        "GET" if asked.path.ends_with("/manifests/1") || asked.path.contains(subject().as_str()) => {
            answer(200, &[("content-type", MANIFEST)], manifest())
        }
        _ => answer(404, &[], ""),
    });
    let file = AuthFile::new("fished", &redirects, AUTH);
    let error = list(&redirects, &file.options()).unwrap_err();
    assert!(error.contains("401"), "{error}");
    let file = AuthFile::new("fished-put", &uploads, AUTH);
    let mut place = referrers(&names(&uploads), &file.options()).unwrap();
    let target = place.targets().unwrap().remove(0);
    let artifact =
        Artifact { artifact_type: "t/t", title: "f", bytes: b"content", annotations: BTreeMap::new() };
    let error = place.attach(&target.descriptor, &artifact).unwrap_err().to_string();
    assert!(error.contains("401"), "{error}");
    assert_eq!(*shown.lock().unwrap(), ["", ""]);
}

#[test]
fn a_token_server_without_tls_is_the_registrys_own_host_or_none() {
    let address = registry(|_, _| {
        answer(401, &[("www-authenticate", "Bearer realm=\"http://198.51.100.1/token\"")], "")
    });
    let file = AuthFile::new("realm", &address, AUTH);
    let error = list(&address, &file.options()).unwrap_err();
    assert!(error.contains("no TLS"), "{error}");
}

#[test]
fn an_entry_that_another_client_overwrites_is_added_again() {
    // The tag's index, and how often it was written: the first update is lost, as if another client wrote after it.
    let state = Arc::new(Mutex::new((None::<Vec<u8>>, 0)));
    let address = registry(move |asked, _| {
        let mut state = state.lock().unwrap();
        let is_tag = asked.path.contains("/manifests/sha256-");
        match asked.method.as_str() {
            "PUT" if is_tag => {
                state.1 += 1;
                let theirs = index(&[descriptor("theirs")]).into_bytes();
                state.0 = Some(if state.1 == 1 { theirs } else { asked.body.clone() });
                answer(201, &[], "")
            }
            "PUT" => answer(201, &[], ""),
            "POST" => answer(202, &[("location", "/v2/app/blobs/uploads/1")], ""),
            "GET" if asked.path.contains("/referrers/") => answer(404, &[], ""),
            "GET" if is_tag => match &state.0 {
                Some(body) => answer(200, &[("content-type", INDEX)], body.clone()),
                None => answer(404, &[], ""),
            },
            "GET" if asked.path.ends_with("/manifests/1") || asked.path.contains(subject().as_str()) => {
                answer(200, &[("content-type", MANIFEST)], manifest())
            }
            _ => answer(404, &[], ""),
        }
    });
    let mut place = referrers(&names(&address), &Options::default()).unwrap();
    let attached = attach(place.as_mut());
    assert!(matches!(attached.how, Some(How::FallbackTag(_))));
    let digests: Vec<Digest> =
        place.referrers(&subject()).unwrap().into_iter().map(|entry| entry.digest).collect();
    assert!(
        digests.contains(&attached.digest) && digests.contains(&Digest::sha256(b"theirs")),
        "{digests:?}"
    );
}
