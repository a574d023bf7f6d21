//! What looks like a credential in a text, and where.

use super::encoded;

/// How many encodings within one another are undone.
const ENCODINGS_MAX: usize = 3;

/// What kind of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The password of a URL.
    UrlPassword,
    /// A token in front of a URL's host.
    UrlToken,
    /// A password or other value behind a name that says so.
    Password,
    /// What proves who asks, in a request's head.
    Authorization,
    /// A token whose form its issuer made unmistakable.
    Token,
    /// A private key.
    PrivateKey,
    /// The digest of a file that holds a secret and nothing else.
    Digest,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UrlPassword => "url-password",
            Self::UrlToken => "url-token",
            Self::Password => "password",
            Self::Authorization => "authorization",
            Self::Token => "token",
            Self::PrivateKey => "private-key",
            Self::Digest => "digest-of-secret",
        }
    }

    pub(super) fn mark(self) -> String {
        format!("[redacted:{}]", self.name())
    }
}

/// A credential: where it stands (byte offsets) and what to look for elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
    pub(super) secrets: Vec<String>,
}

/// The credentials of a text.
pub(super) fn text(text: &str) -> Vec<Span> {
    within(text, ENCODINGS_MAX)
}

/// The credential that `word` is, because of the argument `before` it.
pub(super) fn after(before: &str, program: Option<&str>, word: &str) -> Vec<Span> {
    let whole = |start: usize, kind| spans_of(word, start, word.len(), kind);
    if before.starts_with('-') && !before.contains('=') {
        if names_secret(before.trim_start_matches('-')) && is_value(word) && !word.starts_with('-') {
            return whole(0, Kind::Password);
        }
        if takes_user_and_password(program, before)
            && let Some(colon) = word.find(':')
        {
            return whole(colon + 1, Kind::Password);
        }
        if takes_password(program, before) {
            return whole(0, Kind::Password);
        }
    }
    Vec::new()
}

fn within(text: &str, depth: usize) -> Vec<Span> {
    let mut found = Vec::new();
    let has = |byte| memchr::memchr(byte, text.as_bytes()).is_some();
    let has_colon = has(b':');
    if has_colon {
        urls(text, &mut found);
    }
    if has_colon || has(b'=') {
        assignments(text, &mut found);
    }
    words(text, has_colon, &mut found);
    tokens(text, &mut found);
    private_keys(text, &mut found);
    if depth > 0 {
        for run in encoded::runs(text) {
            let covered = found.iter().any(|span: &Span| span.start < run.end && run.start < span.end);
            let inside = run.texts().flat_map(|meaning| within(meaning, depth - 1)).collect::<Vec<_>>();
            if let Some(first) = inside.first()
                && !covered
            {
                let secrets = inside.iter().flat_map(|span| span.secrets.clone()).collect();
                found.push(Span { start: run.start, end: run.end, kind: first.kind, secrets });
            }
        }
    }
    found
}

fn spans_of(text: &str, start: usize, end: usize, kind: Kind) -> Vec<Span> {
    let Some(secret) = text.get(start..end).filter(|secret| is_value(secret)) else { return Vec::new() };
    let mut secrets = vec![secret.to_owned()];
    if let Some(plain) = encoded::percent(secret).and_then(|bytes| String::from_utf8(bytes).ok()) {
        secrets.push(plain);
    }
    vec![Span { start, end, kind, secrets }]
}

/// `scheme://user:password@host`, `scheme://token@host` (RFC 3986, 3.2.1).
fn urls(text: &str, found: &mut Vec<Span>) {
    /// From how many characters on a user name without a password is taken for a token; GitHub's and GitLab's have more.
    const TOKEN_CHARS_MIN: usize = 20;
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let rest = text.get(start..).unwrap_or_default();
        let end =
            rest.find(|c: char| c.is_whitespace() || "/?#\"'`<>\\|;".contains(c)).unwrap_or(rest.len());
        let authority = rest.get(..end).unwrap_or_default();
        let Some(sign) = authority.rfind('@') else { continue };
        match authority.get(..sign).and_then(|user| user.find(':')) {
            Some(colon) => {
                found.extend(spans_of(text, start + colon + 1, start + sign, Kind::UrlPassword))
            }
            None if sign >= TOKEN_CHARS_MIN => {
                found.extend(spans_of(text, start, start + sign, Kind::UrlToken))
            }
            None => {}
        }
    }
}

/// `NAME=value`, `name: value`, `"name": "value"`, where the name says that it is a secret.
fn assignments(text: &str, found: &mut Vec<Span>) {
    for (at, sign) in text.match_indices(['=', ':']) {
        let head = text.get(..at).unwrap_or_default();
        // A backslash before a quote: JSON within a quoted word.
        let head = head.trim_end_matches(['"', '\'', '\\']);
        let name = head.rfind(|c: char| !is_name_char(c)).map_or(head, |before| {
            let skip = head.get(before..).and_then(|tail| tail.chars().next()).map_or(1, char::len_utf8);
            head.get(before + skip..).unwrap_or_default()
        });
        let follows = text.get(at + 1..).and_then(|rest| rest.chars().next());
        // `PASS=value`, and OpenSSL's `pass:value`; `pass: 3` says how a test went.
        let pass = name.eq_ignore_ascii_case("pass") && follows.is_some_and(|c| !c.is_whitespace());
        if !pass && !names_secret(name.trim_start_matches('-')) {
            continue;
        }
        let mut start = at + 1;
        if sign == ":" {
            start += leading_blanks(text, start);
        }
        if name.to_ascii_lowercase().ends_with("authorization") {
            authorization(text, start, found);
            continue;
        }
        let before_name = head.get(..head.len() - name.len()).unwrap_or_default();
        if before_name.ends_with("${") {
            // A shell's default value: `${NAME:-value}`.
            let rest = text.get(start..).unwrap_or_default();
            let end = start + rest.find('}').unwrap_or(rest.len());
            let operator = usize::from(rest.starts_with(['-', '+', '=', '?']));
            found.extend(spans_of(text, (start + operator).min(end), end, Kind::Password));
            continue;
        }
        let (from, to) = value(text, start);
        found.extend(spans_of(text, from, to, Kind::Password));
    }
}

/// `Bearer TOKEN`, `Basic BASE64` behind `Authorization:` (RFC 9110, 11.6.2).
fn authorization(text: &str, start: usize, found: &mut Vec<Span>) {
    let (from, to) = value(text, start);
    let scheme = text.get(from..to).unwrap_or_default();
    let known = ["basic", "bearer", "token", "digest", "negotiate"]
        .contains(&scheme.to_ascii_lowercase().as_str());
    let (from, to) = if known { value(text, to + leading_blanks(text, to)) } else { (from, to) };
    let mut spans = spans_of(text, from, to, Kind::Authorization);
    for span in &mut spans {
        let credentials = text.get(from..to).unwrap_or_default();
        for run in encoded::runs(credentials) {
            let passwords = run
                .texts()
                .filter_map(|pair| pair.split_once(':'))
                .map(|(_, password)| password.to_owned());
            span.secrets.extend(passwords.filter(|password| !password.is_empty()));
        }
    }
    found.extend(spans);
}

/// Words that are credentials because of the word before them or of the program.
fn words(text: &str, has_colon: bool, found: &mut Vec<Span>) {
    let list = split(text);
    // A path, a number: one word alone is neither a program with its flags nor somebody's password.
    if list.len() < 2 && !has_colon {
        return;
    }
    let program = list.iter().map(|&(from, to)| base(text.get(from..to).unwrap_or_default()));
    let programs: Vec<&str> = program.filter(|name| PROGRAMS.contains(name)).collect();
    let chpasswd = has_colon && text.contains("chpasswd");
    if list.len() > 1 && text.contains("password-stdin") {
        piped(text, &list, found);
    }
    for (index, &(from, to)) in list.iter().enumerate() {
        let word = text.get(from..to).unwrap_or_default();
        if let Some(&(before_from, before_to)) = index.checked_sub(1).and_then(|before| list.get(before))
        {
            let before = text.get(before_from..before_to).unwrap_or_default();
            let named =
                before.starts_with('-') || index == 2 && is_env(text, &list) && names_secret(before);
            let program = programs.iter().copied().find(|program| {
                takes_password(Some(program), before) || takes_user_and_password(Some(program), before)
            });
            let flag = if before.starts_with('-') { before.to_owned() } else { format!("--{before}") };
            if named {
                let spans = after(&flag, program, word);
                found.extend(spans.into_iter().map(|span| Span {
                    start: span.start + from,
                    end: span.end + from,
                    ..span
                }));
            }
        }
        if chpasswd && let Some(colon) = word.find(':') {
            found.extend(spans_of(text, from + colon + 1, to, Kind::Password));
        }
        if programs.iter().any(|program| program.starts_with("mysql") || program.starts_with("mariadb"))
            && word.starts_with("-p")
            && word.len() > 2
            && !word.starts_with("-p=")
        {
            found.extend(spans_of(text, from + 2, to, Kind::Password));
        }
    }
}

/// What `echo` or `printf` say into a pipe, where a program behind it takes its password from there.
fn piped(text: &str, list: &[(usize, usize)], found: &mut Vec<Span>) {
    let (mut saying, mut end) = (false, 0);
    for &(from, to) in list {
        let between = text.get(end..from).unwrap_or_default();
        saying &= !between.contains(['|', ';', '&']);
        let word = text.get(from..to).unwrap_or_default();
        if saying && !word.starts_with(['-', '%']) {
            found.extend(spans_of(text, from, to, Kind::Password));
        }
        saying |= matches!(base(word), "echo" | "printf");
        end = to;
    }
}

/// Programs that take a password behind a flag whose name doesn't say so.
const PROGRAMS: [&str; 11] = [
    "openssl",
    "curl",
    "wget",
    "sshpass",
    "mysql",
    "mysqldump",
    "mysqladmin",
    "mariadb",
    "docker",
    "podman",
    "buildah",
];

fn takes_user_and_password(program: Option<&str>, flag: &str) -> bool {
    let curl = program.map(base).is_some_and(|program| program == "curl");
    curl && matches!(flag, "-u" | "--user" | "-U" | "--proxy-user")
}

fn takes_password(program: Option<&str>, flag: &str) -> bool {
    matches!((program.map(base), flag), (Some("sshpass"), "-p") | (Some("openssl"), "-k" | "-K"))
}

fn is_env(text: &str, list: &[(usize, usize)]) -> bool {
    let first = list.first().and_then(|&(from, to)| text.get(from..to)).unwrap_or_default();
    first.eq_ignore_ascii_case("ENV")
}

/// Words of a shell-like text: their offsets, quotes left off.
fn split(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let blank =
            |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | '|' | '&' | '(' | ')' | '`');
        match rest.find(|c| !blank(c)) {
            None => break,
            Some(skip) => {
                let start = at + skip;
                let word = text.get(start..).unwrap_or_default();
                let end = start + word.find(blank).unwrap_or(word.len());
                found.push((start, end));
                at = end;
            }
        }
    }
    found
}

/// Tokens whose form is unmistakable: a prefix, and at least so many characters behind it.
fn tokens(text: &str, found: &mut Vec<Span>) {
    const FORMS: [(&str, usize); 21] = [
        ("ghp_", 30),
        ("gho_", 30),
        ("ghu_", 30),
        ("ghs_", 30),
        ("ghr_", 30),
        ("github_pat_", 30),
        ("glpat-", 16),
        ("xoxb-", 16),
        ("xoxp-", 16),
        ("xoxa-", 16),
        ("sk_live_", 16),
        ("rk_live_", 16),
        ("sk-ant-", 20),
        ("sk-proj-", 20),
        ("npm_", 30),
        ("pypi-AgEI", 20),
        ("dckr_pat_", 16),
        ("hf_", 30),
        ("AIza", 30),
        ("AKIA", 16),
        ("ASIA", 16),
    ];
    let token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    // The shortest of all, prefix included.
    let shortest = FORMS.iter().map(|(prefix, min)| prefix.len() + min).min().unwrap_or(0);
    let mut at = 0;
    while let Some(begin) = text.get(at..).and_then(|rest| rest.find(token)).map(|skip| at + skip) {
        let run = text.get(begin..).unwrap_or_default();
        let length = run.find(|c| !token(c)).unwrap_or(run.len());
        at = begin + length;
        if length < shortest {
            continue;
        }
        let run = run.get(..length).unwrap_or_default();
        let is_token = |(prefix, min): &(&str, usize)| {
            run.strip_prefix(prefix).is_some_and(|rest| rest.len() >= *min)
        };
        if FORMS.iter().any(is_token) {
            found.extend(spans_of(text, begin, at, Kind::Token));
        }
    }
    if memchr::memmem::find(text.as_bytes(), b"eyJ").is_none() {
        return;
    }
    // JSON Web Tokens: three parts of base64url, the first two begin with `{"` (RFC 7519).
    for (at, _) in text.match_indices("eyJ") {
        let rest = text.get(at..).unwrap_or_default();
        let length = rest.find(|c: char| !(token(c) || c == '.')).unwrap_or(rest.len());
        let whole = rest.get(..length).unwrap_or_default();
        if whole.matches('.').count() >= 2 && whole.contains(".eyJ") {
            found.extend(spans_of(text, at, at + length, Kind::Token));
        }
    }
}

fn private_keys(text: &str, found: &mut Vec<Span>) {
    // The beginning alone is longer than most strings.
    if text.len() < "-----BEGIN PRIVATE KEY-----".len() || !text.contains("-----BEGIN ") {
        return;
    }
    for (at, _) in text.match_indices("-----BEGIN ") {
        let rest = text.get(at..).unwrap_or_default();
        let label = rest.get(11..).and_then(|tail| tail.split("-----").next()).unwrap_or_default();
        if !label.contains("PRIVATE KEY") || label.len() > 64 {
            continue;
        }
        let end = format!("-----END {label}-----");
        let length = rest.find(&end).map_or(rest.len(), |found| found + end.len());
        found.push(Span { start: at, end: at + length, kind: Kind::PrivateKey, secrets: vec![] });
    }
}

/// Whether a name says that its value is a secret.
fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let ends = |word: &str| name.ends_with(word);
    let part = |word: &str| name == word || ends(&format!("_{word}"));
    if name.starts_with("no_") || name.len() > 64 {
        return false;
    }
    ends("password")
        || ends("passwd")
        || ends("passphrase")
        || ends("authorization")
        || ends("api_key")
        || ends("apikey")
        || ends("access_key")
        || ends("secret_key")
        || ends("private_key")
        || ends("auth_key")
        || ends("token")
        || part("secret")
        || part("pass") && name != "pass"
        || name.ends_with("_pwd")
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Whether a value can be a secret: not empty, not a variable, not a word for yes or no, not taken out already.
fn is_value(value: &str) -> bool {
    const WORDS: [&str; 12] =
        ["true", "false", "yes", "no", "none", "null", "0", "1", "-", "*", "***", "pass"];
    !value.is_empty()
        && !value.starts_with("[redacted:")
        && !value.starts_with("/run/secrets/")
        && !WORDS.contains(&value.to_ascii_lowercase().as_str())
        && !is_variable(value)
}

fn is_variable(value: &str) -> bool {
    let Some(rest) = value.strip_prefix('$') else { return false };
    if rest.starts_with('{') || rest.starts_with('(') {
        return true;
    }
    !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The value at `start`: what a quote encloses, or up to a blank or another sign that ends a word.
fn value(text: &str, start: usize) -> (usize, usize) {
    let rest = text.get(start..).unwrap_or_default();
    if let Some(inside) = rest.strip_prefix("\\\"") {
        let length = inside.find("\\\"").unwrap_or(inside.len());
        return (start + 2, start + 2 + length);
    }
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let inside = rest.get(1..).unwrap_or_default();
        if let Some(length) = inside.find(quote) {
            return (start + 1, start + 1 + length);
        }
        return (start + 1, text.len());
    }
    let ends =
        |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '&' | ';' | '|' | '<' | '>' | ')' | '`');
    (start, start + rest.find(ends).unwrap_or(rest.len()))
}

fn leading_blanks(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    rest.len() - rest.trim_start_matches([' ', '\t']).len()
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
