//! Registries: manifests, blobs, referrers (distribution-spec 1.1).

use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use blubr_image::manifest::{
    DOCKER_LIST, DOCKER_MANIFEST, Descriptor, Index, MANIFEST_BYTES_MAX, OCI_INDEX, OCI_MANIFEST,
};
use blubr_image::{Digest, Error};
use reqwest::blocking::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LINK, LOCATION};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use crate::files::{self, Checked};
use crate::found::Blobs;
use crate::http::{Body, Http, Request, is_passing};
use crate::refer::{How, Store};
use crate::{Options, Registry, index};

/// Pages of referrers that are read; each has dozens.
const PAGES_MAX: usize = 100;
/// Bytes of all of them: what each page says of its entries is kept.
const PAGES_BYTES_MAX: usize = 4 * MANIFEST_BYTES_MAX;
/// How often a lost update of a fallback tag is repeated.
const ROUNDS_MAX: u32 = 10;
/// A fallback tag is looked at again after so long at least, for another client's update may overwrite ours until then.
const SETTLE_MIN: Duration = Duration::from_millis(300);
const ACCEPT: &str = concat!(
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, ",
    "application/vnd.docker.distribution.manifest.v2+json, ",
    "application/vnd.docker.distribution.manifest.list.v2+json"
);

/// One repository of a registry.
pub(crate) struct Remote {
    http: Http,
    registry: Registry,
}

impl Remote {
    pub fn new(registry: &Registry, options: &Options) -> Result<Remote, Error> {
        Ok(Remote { http: Http::new(registry, options)?, registry: registry.clone() })
    }

    fn get(&mut self, url: Url, accept: &str) -> Result<Response, Error> {
        let headers = [("accept", accept)];
        self.http.send(&Request { method: Method::GET, url, headers: &headers, body: None })
    }

    /// A manifest by tag or digest, with its media type; `None` when there is none.
    fn manifest_by_name(&mut self, name: &str) -> Result<Option<(String, Vec<u8>)>, Error> {
        let url = self.http.url(&format!("manifests/{name}"))?;
        let response = self.get(url, ACCEPT)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.http.refusal(&format!("reading the manifest {name}"), response)),
        }
        let media_type = media_type(response.headers());
        let claimed = header(response.headers(), "docker-content-digest");
        let bytes = self.http.body(response, MANIFEST_BYTES_MAX)?;
        if let Some(claimed) = claimed.and_then(|text| Digest::parse(&text).ok()) {
            return files::checked(bytes, &claimed, "a manifest").map(|bytes| Some((media_type, bytes)));
        }
        Ok(Some((media_type, bytes)))
    }

    fn missing(&self, name: &str) -> Error {
        self.http.error(format!("there is no manifest {name}"))
    }

    /// The referrers API; `None` where the registry has none.
    fn referrers_api(&mut self, subject: &Digest) -> Result<Option<Vec<Descriptor>>, Error> {
        let mut next = Some(self.http.url(&format!("referrers/{subject}"))?);
        let (mut list, mut left) = (Vec::new(), PAGES_BYTES_MAX);
        for page in 0..PAGES_MAX {
            let Some(url) = next.take() else { return Ok(Some(list)) };
            let response = self.get(url.clone(), OCI_INDEX)?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND if page == 0 => return Ok(None),
                _ => return Err(self.http.refusal("reading the referrers", response)),
            }
            // A front end that answers any path with a page of its own has no referrers API.
            if page == 0 && media_type(response.headers()) != OCI_INDEX {
                return Ok(None);
            }
            next = next_page(response.headers(), &url);
            if let Some(next) = next.as_ref().filter(|next| next.origin() != url.origin()) {
                let host = next.host_str().unwrap_or_default().to_owned();
                return Err(self
                    .http
                    .error(format!("the next page of referrers is at another host, '{host}'")));
            }
            let bytes = self.http.body(response, MANIFEST_BYTES_MAX.min(left))?;
            left -= bytes.len();
            list.extend(Index::parse(&bytes)?.manifests);
        }
        Err(self.http.error(format!("more than {PAGES_MAX} pages of referrers")))
    }

    /// The index behind a fallback tag, as JSON so that what others wrote is kept.
    fn fallback_index(&mut self, subject: &Digest) -> Result<Option<Value>, Error> {
        let tag = fallback_tag(subject);
        let Some((_, bytes)) = self.manifest_by_name(&tag)? else { return Ok(None) };
        Index::parse(&bytes)?;
        index::parse(&bytes).map(Some)
    }

    /// Adds `entry` to the fallback tag. Registries don't lock: what another client writes between our reading and
    /// writing is lost, so we look again until our entry has stayed for longer than an update takes.
    fn add_to_fallback(&mut self, subject: &Digest, entry: &Descriptor) -> Result<(), Error> {
        let tag = fallback_tag(subject);
        let mut stayed = false;
        for round in 0..ROUNDS_MAX {
            let begin = Instant::now();
            let mut current = match self.fallback_index(subject)? {
                Some(current) => current,
                None => index::empty(),
            };
            if index::has(&current, &entry.digest) {
                if stayed || round == 0 {
                    return Ok(());
                }
                stayed = true;
            } else {
                stayed = false;
                index::add(&mut current, entry)?;
                self.put_index_now(&tag, &index::write(&current)?)?;
            }
            // Each client waits for another time, or two of them could overwrite each other for ever.
            let spread =
                Duration::from_millis(u64::from(std::process::id() % 97) + u64::from(round) * 13);
            std::thread::sleep(SETTLE_MIN.max(begin.elapsed() * 3) + spread);
        }
        Err(self
            .http
            .error(format!("the tag {tag} could not be written, or was overwritten by others, {ROUNDS_MAX} times: try again")))
    }

    /// Writes an index that was read a moment ago. Unlike all else this isn't repeated when the registry can't do it for
    /// the moment: after a pause it would overwrite what others wrote meanwhile, so the caller reads again.
    fn put_index_now(&mut self, tag: &str, bytes: &[u8]) -> Result<(), Error> {
        let url = self.http.url(&format!("manifests/{tag}"))?;
        let headers = [("content-type", OCI_INDEX)];
        let request =
            Request { method: Method::PUT, url, headers: &headers, body: Some(Body::Bytes(bytes)) };
        let response = self.http.send_now(&request)?;
        if response.status().is_success() || is_passing(response.status()) {
            return Ok(());
        }
        Err(self.http.refusal(&format!("writing the tag {tag}"), response))
    }

    fn put_manifest(&mut self, name: &str, media_type: &str, bytes: &[u8]) -> Result<HeaderMap, Error> {
        let url = self.http.url(&format!("manifests/{name}"))?;
        let headers = [("content-type", media_type)];
        let request =
            Request { method: Method::PUT, url, headers: &headers, body: Some(Body::Bytes(bytes)) };
        let response = self.http.send(&request)?;
        if !response.status().is_success() {
            return Err(self.http.refusal(&format!("writing the manifest {name}"), response));
        }
        Ok(response.headers().clone())
    }
}

impl Remote {
    /// Stores a blob, if it isn't there.
    fn upload(&mut self, descriptor: &Descriptor, body: Body<'_>) -> Result<(), Error> {
        let url = self.http.url(&format!("blobs/{}", descriptor.digest))?;
        let head = Request { method: Method::HEAD, url, headers: &[], body: None };
        if self.http.send(&head)?.status() == StatusCode::OK {
            return Ok(());
        }
        let url = self.http.url("blobs/uploads/")?;
        let begin = Request {
            method: Method::POST,
            url,
            headers: &[("content-length", "0")],
            body: Some(Body::Bytes(&[])),
        };
        let response = self.http.send(&begin)?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.http.refusal("beginning an upload", response));
        }
        let location = header(response.headers(), LOCATION.as_str());
        let location =
            location.ok_or_else(|| self.http.error("the registry doesn't say where to upload to"))?;
        let mut url = self.http.join(&location)?;
        url.query_pairs_mut().append_pair("digest", descriptor.digest.as_str());
        let headers = [("content-type", "application/octet-stream")];
        let request = Request { method: Method::PUT, url, headers: &headers, body: Some(body) };
        let response = self.http.send(&request)?;
        if response.status() != StatusCode::CREATED {
            return Err(self.http.refusal("uploading a blob", response));
        }
        Ok(())
    }
}

impl Blobs for Remote {
    fn manifest(&mut self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let found = self.manifest_by_name(digest.as_str())?;
        let (_, bytes) = found.ok_or_else(|| self.missing(digest.as_str()))?;
        files::checked(bytes, digest, "a manifest")
    }

    fn blob(&mut self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        let url = self.http.url(&format!("blobs/{}", descriptor.digest))?;
        let response = self.get(url, "*/*")?;
        if response.status() != StatusCode::OK {
            return Err(self.http.refusal(&format!("reading the blob {}", descriptor.digest), response));
        }
        Ok(Box::new(Checked::new(response, &descriptor.digest, descriptor.size)))
    }
}

impl Store for Remote {
    fn resolve(&mut self) -> Result<Descriptor, Error> {
        let name = self.registry.name_or_digest().to_owned();
        let (media_type, bytes) = self.manifest_by_name(&name)?.ok_or_else(|| self.missing(&name))?;
        let known =
            [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].contains(&media_type.as_str());
        if !known {
            let media_type = media_type.escape_default();
            return Err(self.http.error(format!("{name} is of type '{media_type}', which is no image")));
        }
        let mut descriptor = Descriptor::of(&media_type, &bytes);
        if let Some(digest) = &self.registry.digest {
            files::checked(bytes, digest, "a manifest")?;
            descriptor.digest = digest.clone();
        }
        Ok(descriptor)
    }

    fn listed(&mut self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        if let Some(list) = self.referrers_api(subject)? {
            return Ok(list);
        }
        match self.fallback_index(subject)? {
            Some(current) => Ok(Index::parse(&index::write(&current)?)?.manifests),
            None => Ok(Vec::new()),
        }
    }

    fn put_blob(&mut self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Error> {
        self.upload(descriptor, Body::Bytes(bytes))
    }

    fn put_file(&mut self, descriptor: &Descriptor, file: &File) -> Result<(), Error> {
        self.upload(descriptor, Body::File(file, descriptor.size))
    }

    fn put_referrer(
        &mut self,
        entry: &Descriptor,
        bytes: &[u8],
        subject: &Digest,
    ) -> Result<How, Error> {
        let headers = self.put_manifest(entry.digest.as_str(), OCI_MANIFEST, bytes)?;
        // distribution-spec, "Pushing Manifests with Subject": without this header the list is the client's to keep.
        if header(&headers, "oci-subject").as_deref() == Some(subject.as_str()) {
            return Ok(How::Api);
        }
        let listed = self.referrers_api(subject)?;
        if listed.is_some_and(|list| list.iter().any(|one| one.digest == entry.digest)) {
            return Ok(How::Api);
        }
        self.add_to_fallback(subject, entry)?;
        Ok(How::FallbackTag(fallback_tag(subject)))
    }
}

/// distribution-spec, "Referrers Tag Schema": algorithm and hex, each cut to the lengths that a tag allows.
pub(crate) fn fallback_tag(subject: &Digest) -> String {
    const HEX_LEN_MAX: usize = 64;
    let hex = subject.hex();
    format!("{}-{}", subject.algorithm().name(), &hex[..hex.len().min(HEX_LEN_MAX)])
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn media_type(headers: &HeaderMap) -> String {
    let value = header(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_owned()
}

/// What a Link header with rel="next" names (RFC 8288), from the page at `base`.
fn next_page(headers: &HeaderMap, base: &Url) -> Option<Url> {
    headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(|value| {
        let (target, parameters) = value.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |part: &str| matches!(part.trim(), "rel=\"next\"" | "rel=next");
        parameters.split(';').any(is_next).then(|| base.join(target).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        let base = Url::parse("http://127.0.0.1:5000/v2/app/referrers/sha256:0").unwrap();
        let next = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, value.parse().unwrap());
            next_page(&headers, &base).map(String::from)
        };
        assert_eq!(
            next("</v2/app/referrers/x?n=1>; rel=\"next\"").as_deref(),
            Some("http://127.0.0.1:5000/v2/app/referrers/x?n=1")
        );
        assert_eq!(
            next("<?last=2>;rel=next").as_deref(),
            Some("http://127.0.0.1:5000/v2/app/referrers/sha256:0?last=2")
        );
        for value in ["<x>; rel=\"prev\"", "x; rel=next", "<x"] {
            assert_eq!(next(value), None, "{value}");
        }
    }

    #[test]
    fn tags_stand_for_digests() {
        let digest = Digest::sha256(b"");
        assert_eq!(fallback_tag(&digest), digest.as_str().replace(':', "-"));
        let long = Digest::parse(&format!("sha512:{}", "ab".repeat(64))).unwrap();
        assert_eq!(fallback_tag(&long), format!("sha512-{}", "ab".repeat(32)));
    }
}
