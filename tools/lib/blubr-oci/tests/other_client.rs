//! oci-client, which is written by others, judges what we push and how we read names.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod played;

use std::collections::BTreeMap;
use std::sync::Mutex;

use blubr_oci::{Artifact, Digest, Options, Reference, referrers};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OciManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference as Theirs};
use played::{Answer, Asked, answer, registry};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What a registry keeps: blobs, and manifests with their types, by the end of their paths.
#[derive(Default)]
struct Kept {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, (String, Vec<u8>)>,
}

impl Kept {
    /// Answers as distribution-spec 1.1 has it; `api`: with the referrers API.
    fn answer(&mut self, asked: &Asked, api: bool) -> Answer {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let last = path.rsplit('/').next().unwrap().to_owned();
        let found = |body: Option<&Vec<u8>>, kind: &str| match body {
            Some(body) => answer(200, &[("content-type", kind)], body.clone()),
            None => answer(404, &[], ""),
        };
        match asked.method.as_str() {
            "GET" if path == "/v2/" => answer(200, &[], "{}"),
            "POST" => answer(202, &[("location", "/v2/app/blobs/uploads/1")], ""),
            "PUT" if path.contains("/uploads/") => {
                let digest = query.split('&').find_map(|pair| pair.strip_prefix("digest=")).unwrap();
                self.blobs.insert(digest.replace("%3A", ":"), asked.body.clone());
                answer(201, &[("location", path)], "")
            }
            "PUT" => {
                let kind = asked.header("content-type").to_owned();
                let digest = Digest::sha256(&asked.body).to_string();
                self.manifests.insert(digest, (kind.clone(), asked.body.clone()));
                self.manifests.insert(last, (kind, asked.body.clone()));
                let json: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
                match json["subject"]["digest"].as_str().filter(|_| api) {
                    Some(subject) => answer(201, &[("location", path), ("oci-subject", subject)], ""),
                    None => answer(201, &[("location", path)], ""),
                }
            }
            _ if path.contains("/referrers/") => {
                if api {
                    answer(200, &[("content-type", INDEX)], self.referrers(&last))
                } else {
                    answer(404, &[], "")
                }
            }
            _ if path.contains("/blobs/") => found(self.blobs.get(&last), "application/octet-stream"),
            _ => {
                let manifest = self.manifests.get(&last);
                found(manifest.map(|(_, body)| body), manifest.map_or("", |(kind, _)| kind))
            }
        }
    }

    fn referrers(&self, subject: &str) -> String {
        let entry = |(digest, (kind, body)): (&String, &(String, Vec<u8>))| {
            let json: serde_json::Value = serde_json::from_slice(body).ok()?;
            (digest.starts_with("sha256:") && json["subject"]["digest"] == subject).then(|| {
                serde_json::json!({"mediaType": kind, "digest": digest, "size": body.len(), "artifactType": json["artifactType"]})
            })
        };
        let entries: Vec<serde_json::Value> = self.manifests.iter().filter_map(entry).collect();
        serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string()
    }
}

fn image() -> String {
    let empty = Digest::sha256(b"{}");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{empty}","size":2}},"layers":[]}}"#
    )
}

#[test]
fn what_we_attach_is_found_and_read_by_another_client() {
    for api in [true, false] {
        let mut kept = Kept::default();
        let subject = Digest::sha256(image().as_bytes());
        for name in ["1".to_owned(), subject.to_string()] {
            kept.manifests.insert(name, (MANIFEST.to_owned(), image().into_bytes()));
        }
        let kept = Mutex::new(kept);
        let address = registry(move |asked, _| kept.lock().unwrap().answer(asked, api));
        let name = Reference::parse(&format!("{address}/app:1")).unwrap();
        let mut place = referrers(&name, &Options::default()).unwrap();
        let target = place.targets().unwrap().remove(0);
        let artifact = Artifact {
            artifact_type: "t/t",
            title: "f",
            bytes: b"content",
            annotations: BTreeMap::new(),
        };
        let attached = place.attach(&target.descriptor, &artifact).unwrap();

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
            let client = Client::try_from(config).unwrap();
            let of = |digest: &str| format!("{address}/app@{digest}").parse::<Theirs>().unwrap();
            let auth = RegistryAuth::Anonymous;
            client.store_auth_if_needed(&address, &auth).await;
            let found = client.pull_referrers(&of(subject.as_str()), None).await.unwrap();
            let digests: Vec<&str> = found.manifests.iter().map(|one| one.digest.as_str()).collect();
            assert_eq!(digests, [attached.digest.as_str()], "api: {api}");
            assert_eq!(found.manifests[0].artifact_type.as_deref(), Some("t/t"));
            let theirs = of(digests[0]);
            let (manifest, digest) = client.pull_manifest(&theirs, &auth).await.unwrap();
            assert_eq!(digest, attached.digest.as_str());
            let OciManifest::Image(manifest) = manifest else { panic!("{manifest:?}") };
            assert_eq!(manifest.subject.unwrap().digest, subject.as_str());
            let mut content = Vec::new();
            client.pull_blob(&theirs, &manifest.layers[0], &mut content).await.unwrap();
            assert_eq!(content, b"content");
        });
    }
}

#[test]
fn names_mean_to_us_what_they_mean_to_another_client() {
    const ID: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for name in [
        "registry.example/app:1",
        "localhost/a/b__c-d",
        "localhost:5000/a---b:X_1.2-3",
        "127.0.0.1:5000/app",
        "UPPER.example/app",
        &format!("registry.example:5000/app@{ID}"),
        &format!("registry.example/app:1@{ID}"),
    ] {
        let Ok(Reference::Registry(ours)) = Reference::parse(name) else { panic!("{name}") };
        let theirs: Theirs = name.parse().unwrap();
        assert_eq!((&*ours.host, &*ours.repository), (theirs.registry(), theirs.repository()), "{name}");
        assert_eq!(ours.digest.as_ref().map(Digest::as_str), theirs.digest(), "{name}");
        assert_eq!(ours.name_or_digest(), theirs.digest().or(theirs.tag()).unwrap(), "{name}");
    }
    for name in [
        "registry.example/",
        "registry.example/App",
        "registry.example/a/../b",
        "registry.example/app:",
        "registry.example/app:-x",
        "registry.example/app:1\n",
        "registry.example/app@sha256:12",
        "registry.example/-a",
        "registry.example/a.-b",
        "registry.example/a_-b",
        "registry.example/a...b",
        "a b.c/x",
        "u:p@h.example/app",
    ] {
        assert!(name.parse::<Theirs>().is_err(), "{name}");
        assert!(Reference::parse(name).is_err(), "{name}");
    }
}
