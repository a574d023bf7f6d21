//! HTTP to one registry: TLS, tokens, redirects (distribution-spec; Docker's "Token Authentication Specification").

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::net::IpAddr;
use std::time::Duration;

use blubr_image::Error;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode, Url};

use crate::auth::Credentials;
use crate::challenge::{self, Challenge};
use crate::{Options, Registry, auth, files};

const CONNECT_MAX: Duration = Duration::from_secs(30);
/// A whole request and its answer; layers of many GB take long.
const REQUEST_MAX: Duration = Duration::from_secs(3600);
const REDIRECTS_MAX: usize = 5;
/// A request that can't be answered for the moment is sent again so many times, after a pause that doubles.
const RETRIES_MAX: u32 = 3;
const PAUSE_MIN: Duration = Duration::from_millis(150);
/// A registry may ask for a longer pause, but not for more than this.
const PAUSE_SECONDS_MAX: u64 = 10;
/// Tokens and errors are short, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const ERROR_BYTES_MAX: usize = 64 << 10;

/// A connection to one repository of one registry.
pub(crate) struct Http {
    client: Client,
    base: Url,
    registry: Registry,
    credentials: Credentials,
    authorization: Option<String>,
    plain: bool,
}

/// A request as it can be repeated after a challenge.
pub(crate) struct Request<'a> {
    pub method: Method,
    pub url: Url,
    pub headers: &'a [(&'static str, &'a str)],
    pub body: Option<Body<'a>>,
}

/// What a request carries, as it can be sent again.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// A whole file of so many bytes, read from its start each time.
    File(&'a File, u64),
}

impl Http {
    /// Prepares; nothing is sent yet.
    pub fn new(registry: &Registry, options: &Options) -> Result<Http, Error> {
        let place = format!("{}/{}", registry.host, registry.repository);
        let failed = |what: &str, why: String| Error::Source(format!("{place}: {what}: {why}"));
        let local = is_loopback(&registry.host);
        let plain = options.plain_http || local && options.ca_file.is_none();
        let host = if registry.host == "docker.io" { "registry-1.docker.io" } else { &registry.host };
        let scheme = if plain { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{host}/v2/"))
            .map_err(|error| failed("this is no host's name", error.to_string()))?;
        // Fails only when a provider is installed already, which then is ours.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("blubr/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_MAX)
            .timeout(REQUEST_MAX)
            .referer(false)
            .redirect(redirects(plain));
        if local {
            builder = builder.no_proxy();
        }
        if plain {
            // No TLS, so no certificates: a host without any can still be talked to.
            builder = builder.tls_certs_only([]);
        }
        if let Some(path) = &options.ca_file {
            const CA_FILE_BYTES_MAX: usize = 16 << 20;
            let pem = files::read(path, CA_FILE_BYTES_MAX)?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| failed("--ca-file has no certificate (PEM)", error.to_string()))?;
            if certificates.is_empty() {
                return Err(failed("--ca-file has no certificate (PEM)", path.display().to_string()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let client =
            builder.build().map_err(|error| failed("no HTTP client can be made", chain(&error)))?;
        let credentials =
            auth::credentials(options.auth_file.as_deref(), &registry.host, &registry.repository)?;
        Ok(Http { client, base, registry: registry.clone(), credentials, authorization: None, plain })
    }

    /// `/v2/REPOSITORY/PATH`.
    pub fn url(&self, path: &str) -> Result<Url, Error> {
        self.join(&format!("{}/{path}", self.registry.repository))
    }

    /// What a Location or Link header names.
    pub fn join(&self, target: &str) -> Result<Url, Error> {
        self.base.join(target).map_err(|_| {
            self.error(format!(
                "the registry names an address that is none: '{}'",
                target.escape_default()
            ))
        })
    }

    /// An error that names the image.
    pub fn error(&self, what: impl Into<String>) -> Error {
        Error::Source(format!("{}/{}: {}", self.registry.host, self.registry.repository, what.into()))
    }

    /// Sends a request; answers a challenge once. What a registry can't do for the moment is asked for again: all that
    /// we send may be sent twice.
    pub fn send(&mut self, request: &Request<'_>) -> Result<Response, Error> {
        let mut pause = PAUSE_MIN;
        for _ in 0..RETRIES_MAX {
            let response = self.send_now(request)?;
            if !is_passing(response.status()) {
                return Ok(response);
            }
            // In the same moment other clients were refused, too.
            let spread = Duration::from_millis(u64::from(std::process::id() % 101));
            std::thread::sleep(asked_pause(response.headers()).unwrap_or(pause) + spread);
            pause *= 2;
        }
        self.send_now(request)
    }

    /// Sends a request once (twice, where the registry answers by a challenge: one from where it has sent us to would have its
    /// credentials shown elsewhere).
    pub fn send_now(&mut self, request: &Request<'_>) -> Result<Response, Error> {
        let response = self.send_once(request)?;
        let is_asked = response.status() == StatusCode::UNAUTHORIZED;
        if !is_asked || response.url().origin() != self.base.origin() {
            return Ok(response);
        }
        self.authorization = Some(self.answer(response.headers())?);
        self.send_once(request)
    }

    fn send_once(&self, request: &Request<'_>) -> Result<Response, Error> {
        let mut builder = self.client.request(request.method.clone(), request.url.clone());
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        match request.body {
            None => {}
            Some(Body::Bytes(bytes)) => builder = builder.body(bytes.to_vec()),
            Some(Body::File(file, size)) => {
                let from_start = || {
                    let mut file = file.try_clone()?;
                    file.seek(SeekFrom::Start(0)).map(|_| file)
                };
                let file = from_start().map_err(|error| self.error(error.to_string()))?;
                builder = builder.body(reqwest::blocking::Body::sized(file, size));
            }
        }
        let same_host = request.url.origin() == self.base.origin();
        if let Some(authorization) = self.authorization.as_ref().filter(|_| same_host) {
            builder = builder.header(AUTHORIZATION, authorization);
        } else if !same_host && !self.plain && request.url.scheme() != "https" {
            return Err(self.error("the registry sends us to an address without TLS"));
        }
        self.finish(builder)
    }

    fn finish(&self, builder: RequestBuilder) -> Result<Response, Error> {
        builder.send().map_err(|error| {
            let said = chain(&error.without_url());
            let advice = match () {
                // rustls, unlike OpenSSL, takes no certificate of an authority for a server's own.
                () if said.contains("CaUsedAsEndEntity") => {
                    ": the registry's own certificate says that it is an authority's (basicConstraints CA:TRUE)"
                }
                () if said.contains("UnknownIssuer") => ": give its authority's certificate by --ca-file",
                () if said.contains("InvalidContentType") => ": a registry without TLS needs --plain-http",
                () => "",
            };
            self.error(format!("{said}{advice}"))
        })
    }

    /// The Authorization header that a challenge asks for.
    fn answer(&self, headers: &HeaderMap) -> Result<String, Error> {
        let challenges =
            headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut basic = false;
        for challenge in challenges.filter_map(challenge::parse) {
            match challenge {
                Challenge::Bearer { realm, service, scope } => {
                    return self.token(&realm, service.as_deref(), scope.as_deref());
                }
                Challenge::Basic => basic = true,
            }
        }
        match &self.credentials {
            Credentials::Basic { user, password } if basic => Ok(basic_header(user, password)),
            _ if basic => Err(self.error(
                "the registry asks for a name and a password: `docker login` or REGISTRY_AUTH_FILE",
            )),
            _ => Err(self.error("the registry asks for an authentication that we don't know")),
        }
    }

    fn token(&self, realm: &str, service: Option<&str>, scope: Option<&str>) -> Result<String, Error> {
        let mut url = Url::parse(realm)
            .map_err(|_| self.error("the registry names a token server that is no URL"))?;
        // Without TLS the registry itself may be asked, as the user has said or its being this machine says, and no other host.
        let is_here = || {
            let local = [self.base.host_str(), url.host_str()].map(|host| host.is_some_and(is_loopback));
            url.host_str() == self.base.host_str() || local == [true, true]
        };
        let trusted = url.scheme() == "https" || self.plain && url.scheme() == "http" && is_here();
        if !trusted {
            return Err(
                self.error("the registry's token server has no TLS: no credentials are sent there")
            );
        }
        let ours = format!("repository:{}:pull,push", self.registry.repository);
        let scope = scope.unwrap_or(&ours);
        let request = match &self.credentials {
            Credentials::Identity(token) => {
                let form = form(&[
                    ("grant_type", "refresh_token"),
                    ("service", service.unwrap_or_default()),
                    ("scope", scope),
                    ("client_id", "blubr"),
                    ("refresh_token", token),
                ]);
                self.client
                    .post(url)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form)
            }
            other => {
                if let Some(service) = service {
                    url.query_pairs_mut().append_pair("service", service);
                }
                for one in scope.split_whitespace() {
                    url.query_pairs_mut().append_pair("scope", one);
                }
                match other {
                    Credentials::Basic { user, password } => {
                        self.client.get(url).header(AUTHORIZATION, basic_header(user, password))
                    }
                    _ => self.client.get(url),
                }
            }
        };
        let response = self.finish(request)?;
        if !response.status().is_success() {
            return Err(self.error(format!(
                "the token server says {}: are the credentials right?",
                response.status()
            )));
        }
        #[derive(serde::Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let bytes = self.body(response, ANSWER_BYTES_MAX)?;
        let parsed: Option<Token> = serde_json::from_slice(&bytes).ok();
        let token = parsed.and_then(|parsed| parsed.token.or(parsed.access_token));
        let token =
            token.filter(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
        let token = token.ok_or_else(|| self.error("the token server's answer has no token"))?;
        Ok(format!("Bearer {token}"))
    }

    /// A bounded body.
    pub fn body(&self, response: Response, limit: usize) -> Result<Vec<u8>, Error> {
        files::read_bounded(response, limit).map_err(|error| self.error(error.to_string()))
    }

    /// What an answer that is no success says (distribution-spec, "Error Codes").
    pub fn refusal(&self, doing: &str, response: Response) -> Error {
        let status = response.status();
        let mut bytes = Vec::new();
        let _ = response.take(ERROR_BYTES_MAX as u64).read_to_end(&mut bytes);
        let said = serde_json::from_slice::<serde_json::Value>(&bytes).ok().and_then(|json| {
            let first = json.get("errors")?.get(0)?;
            let part = |key: &str| {
                first.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
            };
            Some(format!("{} {}", part("code"), part("message")))
        });
        let said = said.unwrap_or_else(|| String::from_utf8_lossy(&bytes).trim().to_owned());
        let said: String = said.chars().take(300).flat_map(char::escape_default).collect();
        self.error(format!("{doing}: the registry says {status} {said}").trim_end().to_owned())
    }
}

/// Answers that may be others a moment later. A registry on a file system gives 500 for a tag that is just being written.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// Retry-After, where it is in seconds.
fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(PAUSE_SECONDS_MAX)))
}

/// Redirects to elsewhere lose the Authorization header (reqwest does so), and never lead away from TLS.
fn redirects(plain: bool) -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(move |attempt| {
        if attempt.previous().len() > REDIRECTS_MAX {
            attempt.error("too many redirects")
        } else if !plain && attempt.url().scheme() != "https" {
            attempt.error("a redirect to an address without TLS")
        } else {
            attempt.follow()
        }
    })
}

/// Whether a host, with or without port, is this machine and no other.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn basic_header(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {text}")
}

/// An error and what caused it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    const DEPTH_MAX: usize = 8;
    let mut text = error.to_string();
    let mut cause = error.source();
    for _ in 0..DEPTH_MAX {
        let Some(error) = cause else { break };
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// Fields as browsers encode them in a form.
fn form(fields: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse("form:") else { return String::new() };
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_names_that_look_like_it() {
        for host in ["localhost", "localhost:5000", "127.0.0.1", "127.1.2.3:80", "[::1]:5000", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "127.0.0.1.example:5000", "10.0.0.1", "[::2]", "", "example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(form(&[("a", "b c&d=e"), ("f", "+")]), "a=b+c%26d%3De&f=%2B");
    }
}
