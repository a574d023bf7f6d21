//! Secrets are taken out of a statement before anybody signs it.
//!
//! The statement's canonical JSON is gone over string by string, so that no field can be forgotten: first to learn what the
//! secrets are ([`find`]), then to replace each by `[redacted:KIND]` wherever it stands, plain or encoded. Nothing is kept
//! of a secret, not even its hash: a weak secret's hash gives it away. A file that holds nothing but the secret loses its
//! digest for the same reason.

mod encoded;
mod find;
mod strings;

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use find::{Kind, Span};

/// Secrets remembered while going over a statement, so that they are found wherever else they stand; a count.
const SECRETS_MAX: usize = 1_000;
/// The shortest secret that is looked for inside other words, in bytes; a shorter one must stand alone.
const INSIDE_BYTES_MIN: usize = 6;
/// The shortest secret that is looked for at other places at all, in bytes.
const ELSEWHERE_BYTES_MIN: usize = 4;

/// What was taken out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many by kind.
    pub kinds: BTreeMap<String, u64>,
}

impl Taken {
    /// How many.
    pub fn count(&self) -> u64 {
        self.kinds.values().sum()
    }

    fn add(&mut self, kind: Kind) {
        *self.kinds.entry(kind.name().to_owned()).or_default() += 1;
    }
}

/// Takes secrets out of the JSON `text`; gives the new text and what was taken out.
pub fn json(text: &str) -> (String, Taken) {
    let mut secrets = Secrets::default();
    secrets.learn_from(text);
    secrets.close();
    let mut taken = Taken::default();
    let out = secrets.rewrite(text, &mut taken);
    (out, taken)
}

/// What the secrets are: learnt from every document before any is written, so that none keeps what another gave away.
#[derive(Default)]
pub struct Secrets {
    plain: BTreeMap<String, Kind>,
    digests: Vec<String>,
}

impl Secrets {
    /// Goes over one document.
    pub fn learn_from(&mut self, text: &str) {
        strings::each(text, &mut |here: &strings::Place<'_>| self.learn(here));
    }

    /// Takes the secrets out of one document, after [`Secrets::close`].
    pub fn rewrite(&self, text: &str, taken: &mut Taken) -> String {
        strings::rewrite(text, &mut |here| self.replace(here, taken))
    }

    fn learn(&mut self, here: &strings::Place<'_>) {
        if here.is_word {
            return;
        }
        for span in spans(here) {
            for secret in span.secrets {
                if secret.len() >= ELSEWHERE_BYTES_MIN && self.plain.len() < SECRETS_MAX {
                    self.plain.entry(secret).or_insert(span.kind);
                }
            }
        }
    }

    /// The digests of files that hold a secret and nothing else: when all are learnt.
    pub fn close(&mut self) {
        for secret in self.plain.keys() {
            for end in ["", "\n", "\r\n"] {
                self.digests.push(hex(&Sha256::digest(format!("{secret}{end}"))));
            }
        }
    }

    fn replace(&self, here: &strings::Place<'_>, taken: &mut Taken) -> Option<String> {
        if here.is_word {
            return None;
        }
        if self.digests.iter().any(|digest| *digest == here.text) {
            taken.add(Kind::Digest);
            return Some(Kind::Digest.mark());
        }
        let mut found = spans(here);
        found.extend(self.elsewhere(&here.text));
        if found.is_empty() {
            return None;
        }
        Some(apply(&here.text, found, taken))
    }

    /// Where the secrets that are known stand in `text`, plain or encoded.
    fn elsewhere(&self, text: &str) -> Vec<Span> {
        let mut found = Vec::new();
        for (secret, &kind) in &self.plain {
            for (at, _) in text.match_indices(secret.as_str()) {
                let end = at + secret.len();
                if secret.len() >= INSIDE_BYTES_MIN || stands_alone(text, at, end) {
                    found.push(Span { start: at, end, kind, secrets: vec![] });
                }
            }
        }
        for run in encoded::runs(text) {
            if let Some(&kind) =
                self.plain.iter().find(|(secret, _)| run.holds(secret)).map(|(_, kind)| kind)
            {
                found.push(Span { start: run.start, end: run.end, kind, secrets: vec![] });
            }
        }
        found
    }
}

fn spans(here: &strings::Place<'_>) -> Vec<Span> {
    let mut found = find::text(&here.text);
    if let Some(before) = here.before {
        found.extend(find::after(before, here.program, &here.text));
    }
    found
}

fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let before = text.get(..start).and_then(|head| head.chars().next_back());
    let after = text.get(end..).and_then(|tail| tail.chars().next());
    !before.is_some_and(word) && !after.is_some_and(word)
}

/// Replaces the spans, the overlapping ones as one.
fn apply(text: &str, mut spans: Vec<Span>, taken: &mut Taken) -> String {
    spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        if span.start < at {
            // Begins inside the one before: what sticks out goes with it.
            at = at.max(span.end);
            continue;
        }
        out.push_str(text.get(at..span.start).unwrap_or_default());
        out.push_str(&span.kind.mark());
        taken.add(span.kind);
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(text: &str, word: &str) -> Taken {
        let document = serde_json::to_string(&serde_json::json!({ "x": text })).unwrap();
        let (out, taken) = json(&document);
        assert!(!out.contains(word), "{out}");
        assert!(taken.count() > 0);
        let parsed: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert!(parsed["x"].as_str().unwrap().contains("[redacted:"));
        taken
    }

    fn kept(text: &str) {
        let document = serde_json::to_string(&serde_json::json!({ "x": text })).unwrap();
        let (out, taken) = json(&document);
        assert_eq!((out, taken.count()), (document, 0));
    }

    #[test]
    fn what_people_put_into_dockerfiles_is_taken_out() {
        for text in [
            "RUN wget -q -O- http://user:hunter2@host:8080/x",
            "RUN pip install --index-url=https://u:hunter2@pypi.example/simple",
            "ENV DB_PASSWORD=hunter2 OTHER=x",
            "ENV DB_PASSWORD hunter2",
            "ARG NPM_TOKEN=\"hunter2\"",
            "RUN mysql --password hunter2 -e 'x'",
            "RUN curl -u bob:hunter2 https://x",
            "RUN curl --user 'bob:hunter2' https://x",
            "RUN curl -H 'Authorization: Bearer hunter2' https://x",
            "RUN curl -H 'X-Api-Key: hunter2' https://x",
            "RUN echo 'root:hunter2' | chpasswd",
            "RUN sshpass -p hunter2 ssh host",
            "RUN curl 'https://x/?a=1&access_token=hunter2&b=2'",
            "RUN echo '{\"password\": \"hunter2\"}' > /c.json",
            "RUN mysql -phunter2 db",
            "ENV TOKEN=${TOKEN:-hunter2}",
            "RUN export PASS=hunter2; make",
            "RUN printf '{\\\"password\\\":\\\"hunter2\\\",\\\"a\\\":1}' > /c.json",
            "RUN openssl enc -aes-256-cbc -k hunter2 -in a",
            "RUN openssl rsa -passin pass:hunter2 -in a",
            "RUN echo hunter2 | docker login --username u --password-stdin r.example",
        ] {
            gone(text, "hunter2");
        }
    }

    #[test]
    fn known_kinds_of_tokens_are_taken_out() {
        let tail = "0123456789abcdefABCDEF0123456789abcd";
        for (text, word) in [
            (format!("git clone https://ghp_{tail}@github.com/a/b"), format!("ghp_{tail}")),
            (format!("echo glpat-{tail}"), format!("glpat-{tail}")),
            ("aws AKIAIOSFODNN7EXAMPLE".into(), "AKIAIOSFODNN7EXAMPLE".into()),
            (format!("x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{tail} y"), "eyJzdWIiOiIxIn0".into()),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----".into(),
                "b3Bl".into(),
            ),
        ] {
            gone(&text, &word);
        }
    }

    #[test]
    fn encodings_are_undone_first() {
        // printf '%s' 'http://user:hunter2@host/' | base64, | xxd -p; and each letter percent-encoded.
        for text in [
            "RUN echo aHR0cDovL3VzZXI6aHVudGVyMkBob3N0Lw== | base64 -d",
            "RUN echo 687474703a2f2f757365723a68756e74657232 40686f73742f687474703a2f2f757365723a68756e7465723240686f73742f",
            "RUN wget http%3A%2F%2Fuser%3Ahunter2%40host%2F",
        ] {
            let taken = gone(text, "hunter2");
            assert!(taken.count() >= 1);
        }
        gone("Authorization: Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy");
    }

    #[test]
    fn a_secret_once_known_is_found_wherever_it_stands() {
        let document = r#"{"argv":["wget","http://user:hunter2@host/"],"path":"/out/hunter2.txt","host":"hunter2.example",
            "arg":["x","aHVudGVyMg=="],"hex":"68756e74657232","path_b64":"L/9odW50ZXIy","safe":"hunter3"}"#;
        let (out, taken) = json(document);
        for trace in ["hunter2", "aHVudGVyMg", "68756e74657232", "L/9odW50ZXIy"] {
            assert!(!out.contains(trace), "{trace}: {out}");
        }
        assert!(out.contains("hunter3") && out.contains("user:[redacted:url-password]@host"));
        assert_eq!(taken.count(), 6);
    }

    #[test]
    fn a_secret_that_is_a_word_of_the_formats_leaves_those() {
        let document = r#"{"table":"files","entry":{"text":"ENV PASSWORD=files TOKEN=container PASS=write","part":"container",
            "access":["write","read"],"path":"/files/container"}}"#;
        let (out, taken) = json(document);
        let parsed: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&parsed["table"], &parsed["entry"]["part"]), (&"files".into(), &"container".into()));
        assert_eq!(parsed["entry"]["access"], serde_json::json!(["write", "read"]));
        assert!(!parsed["entry"]["text"].as_str().unwrap().contains("files"), "{out}");
        assert!(!parsed["entry"]["path"].as_str().unwrap().contains("container"), "{out}");
        assert_eq!(taken.count(), 5);
    }

    #[test]
    fn neither_is_the_digest_of_a_file_that_holds_only_the_secret() {
        // printf 'hunter2\n' | sha256sum
        let digest = hex(&Sha256::digest(b"hunter2\n"));
        let document = format!("{{\"a\":\"http://u:hunter2@h/\",\"sha256\":\"{digest}\"}}");
        let (out, _) = json(&document);
        assert!(!out.contains(&digest) && out.contains("[redacted:digest-of-secret]"), "{out}");
    }

    #[test]
    fn in_an_argument_vector_the_flag_may_stand_before() {
        let document = r#"{"argv":["mysql","--password","hunter2","-u","root"],"b":["curl","-u","bob:hunter3","x"],
            "c":["sshpass","-p","hunter4"],"d":["docker","run","-u","1000:1000"]}"#;
        let (out, taken) = json(document);
        for word in ["hunter2", "hunter3", "hunter4"] {
            assert!(!out.contains(word), "{out}");
        }
        assert!(out.contains("1000:1000") && out.contains("bob:[redacted"), "{out}");
        assert_eq!(taken.count(), 3);
    }

    #[test]
    fn what_is_no_secret_is_kept() {
        for text in [
            "RUN wget -q -O- http://host:8080/path@v1?x=1",
            "RUN --mount=type=secret,id=npm npm ci",
            "ENV PASSWORD=$PASSWORD TOKEN=${TOKEN:-}",
            "ENV PWD=/app PASSWORD_FILE=/run/secrets/db",
            "git clone git@github.com:a/b.git ssh://git@host/x",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "/usr/lib/python3/dist-packages/keyring/backends/SecretService.py",
            "RUN apt-get install -y passwd && passwd -l root",
            "urn:blubr:host:1234 https://in-toto.io/Statement/v1",
            "2026-11-24T12:00:00.123456789Z",
            "no-password: pass",
            "PASS: 3 tests, FAIL: 0",
            "RUN echo done | tee /log",
        ] {
            kept(text);
        }
    }

    #[test]
    fn going_over_it_twice_changes_nothing_more() {
        let document = r#"{"a":"PASSWORD=hunter2 http://u:hunter2@h --token hunter2"}"#;
        let (once, _) = json(document);
        let (twice, taken) = json(&once);
        assert_eq!((once, 0), (twice, taken.count()));
    }
}
