//! The page's head: what was built, by whom and of what, which log tells of it, and who signed.

use blubr_attestation::build::Taken;
use blubr_envelope::{Kind, Opened};

use super::page::Page;

impl Page<'_> {
    pub(super) fn head(&mut self, opened: &Opened) {
        let build = self.build;
        let heading =
            build.image.as_ref().map_or("a build without an image", |image| image.reference.as_str());
        self.line(format!("Attestation of {heading}"));
        if let Some(image) = &build.image {
            if let Some(manifest) = &image.manifest_digest {
                self.row("manifest", manifest);
            }
            self.row("config", &image.config_digest);
        }
        let exit = build
            .build
            .exit
            .map_or("its end was not seen".to_owned(), |exit| format!("exit status {exit}"));
        let (began, ended) = (short(build.build.began.as_deref()), short(build.build.ended.as_deref()));
        self.row("built by", format!("{}, {began} to {ended} UTC, {exit}", build.build.engine));
        let more = if build.build.argv_truncated { " ... (cut)" } else { "" };
        self.row("command", build.build.argv.join(" ") + more);
        if let Some(dockerfile) = &build.dockerfile {
            let taken = match dockerfile.taken {
                Taken::UnchangedSinceOpen => "unchanged since the build opened it",
                Taken::Changed => "CHANGED since the build opened it",
                Taken::NotSeen => "the build was not seen to open it",
            };
            self.row("Dockerfile", format!("{} ({taken})", dockerfile.path));
            self.row("", format!("sha256 {}", dockerfile.sha256));
        }
        if let Some(context) = &build.context {
            let hash = context.digest.get("dirHash").map_or("", String::as_str);
            self.row("context", format!("{}, {} files, dirHash {hash}", context.path, context.files));
        }
        self.row("log", format!("sha256 {}, {} events", build.log.sha256, build.log.events));
        for source in &build.log.sources {
            self.row("", format!("filtered out of sha256 {}, {} events", source.sha256, source.events));
        }
        if let Some(detail) = &build.detail {
            let read = if self.elsewhere.is_some() { ", not read (--detail)" } else { "" };
            let records = detail.annotations.records;
            self.row("detail", format!("{}, {records} records{read}", detail.name));
            self.row("", format!("sha256 {}", detail.sha256()));
        }
        self.signed(opened);
    }

    fn signed(&mut self, opened: &Opened) {
        let text = match opened.envelope() {
            None => "by nobody".to_owned(),
            Some(envelope) => {
                let keys: Vec<&str> = envelope.signatures.iter().map(|one| one.keyid.as_str()).collect();
                format!("by {} (not verified here: blubr-attest verify --cert CERT)", keys.join(", "))
            }
        };
        self.row("signed", text);
        if opened.kind == Kind::Message {
            let to = if opened.encrypted_to.is_empty() {
                "opened by gpg".to_owned()
            } else {
                opened.encrypted_to.join(", ")
            };
            self.row("encrypted", format!("to {to}"));
        }
        if self.build.redactions.count > 0 {
            self.row("redacted", format!("{} secrets were taken out", self.build.redactions.count));
        }
    }
}

/// A time to the second.
fn short(time: Option<&str>) -> String {
    time.and_then(|time| time.get(..19)).map_or("?".to_owned(), |time| time.replace('T', " "))
}
