//! Names that mkstemp(3), mktemp(1), Perl's File::Temp, Python's tempfile and Go's os.MkdirTemp make up.

use crate::normalise::{Rule, replace_words};

/// The rule.
pub const TEMPORARY: Rule = Rule {
    name: "temporary-names",
    what: "random endings of names in /tmp, /var/tmp and /dev/shm (tmp.Qw3rTy12zX, ccAb12Cd.o), and of what configure and CMake try \
           (confAb12Cd, cmTC_1a2b3), count as equal",
};

/// The shortest random part: mkstemp(3) replaces six X.
const RANDOM_CHARS_MIN: usize = 6;
/// What a random part has for its length, where its place alone doesn't tell: mkstemp(3)'s, and mktemp(1)'s and Perl's.
const TEMPLATE_CHARS: [usize; 2] = [RANDOM_CHARS_MIN, 10];
/// Python's tempfile.
const PYTHON_CHARS: usize = 8;
/// Where temporary files lie, on every host.
const FOLDERS: [&str; 3] = ["/tmp/", "/var/tmp/", "/dev/shm/"];

/// A program's own beginning of a name with a random ending.
struct Maker {
    prefix: &'static str,
    chars: &'static [usize],
    /// In whatever folder it works, and not only in those for temporary files.
    anywhere: bool,
    is_random: fn(&str) -> bool,
}

/// gcc, tempfile and tmpfile(3), rustc, `cargo install`; autoconf's config.status; CMake's try_compile, old and new.
const MAKERS: [Maker; 7] = [
    Maker { prefix: "cc", chars: &[6], anywhere: false, is_random: is_mixed },
    Maker { prefix: "tmp", chars: &[6, 8], anywhere: false, is_random: is_mixed },
    Maker { prefix: "rustc", chars: &[6], anywhere: false, is_random: is_mixed },
    Maker { prefix: "install", chars: &[6], anywhere: false, is_random: is_mixed },
    Maker { prefix: "conf", chars: &[6], anywhere: true, is_random: is_template },
    Maker { prefix: "cmTC_", chars: &[5], anywhere: true, is_random: is_hexadecimal },
    Maker { prefix: "TryCompile-", chars: &[6], anywhere: true, is_random: is_mixed },
];

/// The random parts of words.
pub fn take(text: &str) -> Option<String> {
    let python = replace_words(text, |c| c.is_ascii_alphanumeric() || c == '_', by_python);
    let rest =
        replace_words(python.as_deref().unwrap_or(text), |c| c.is_ascii_alphanumeric(), by_others);
    rest.or(python)
}

/// Whether the path that a word stands in is one of a temporary file.
fn is_in_folder(before: &str) -> bool {
    let path = before.rsplit([' ', '=', ':', '"', '\'']).next().unwrap_or(before);
    FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// The component that a word stands in, up to the word.
fn component(before: &str) -> &str {
    before.rsplit(['/', ' ', '=', ':', '"', '\'']).next().unwrap_or(before)
}

/// `tmpa1_b2c3d`; and behind the names that pip gives its folders, which tell enough: `pip-install-a1_b2c3d`.
fn by_python(before: &str, word: &str) -> Option<String> {
    let is_tail = |tail: &str| {
        let one = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        tail.len() == PYTHON_CHARS && tail.bytes().all(one)
    };
    if !is_in_folder(before) {
        return None;
    }
    if let Some(tail) = word.strip_prefix("tmp") {
        return (component(before).is_empty() && is_tail(tail) && is_mixed(tail))
            .then(|| "tmp<random>".to_owned());
    }
    let by_pip = component(before).starts_with("pip-") && before.ends_with('-') && is_tail(word);
    by_pip.then(|| "<random>".to_owned())
}

fn by_others(before: &str, word: &str) -> Option<String> {
    let inside = is_in_folder(before);
    for maker in MAKERS.iter().filter(|maker| inside || maker.anywhere) {
        // A prefix may end before the word.
        let random = match maker.prefix.strip_suffix(|c: char| !c.is_ascii_alphanumeric()) {
            Some(_) => Some(word).filter(|_| before.ends_with(maker.prefix)),
            None => word.strip_prefix(maker.prefix),
        };
        if let Some(random) = random.filter(|random| maker.chars.contains(&random.len()))
            && (maker.is_random)(random)
        {
            let kept = word.get(..word.len() - random.len()).unwrap_or("");
            return Some(format!("{kept}<random>"));
        }
    }
    if !inside {
        return None;
    }
    // Go's name ends with a number: go-build3812973141.
    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
    if word.len() - letters.len() > RANDOM_CHARS_MIN {
        return Some(format!("{letters}<random>"));
    }
    let is_template_s = TEMPLATE_CHARS.contains(&word.len())
        && (before.ends_with(['.', '-', '_']) || component(before).is_empty())
        && is_template(word);
    let behind_tmp = before.ends_with("tmp.") && TEMPLATE_CHARS.contains(&word.len()) && is_mixed(word);
    (is_random(word) || is_template_s || behind_tmp).then(|| "<random>".to_owned())
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Where its place and length tell what it is: capitals within, or digits. One of some hundred such names has neither.
fn is_mixed(text: &str) -> bool {
    text.bytes().any(|b| !b.is_ascii_lowercase() && !b.is_ascii_uppercase())
        || text.bytes().skip(1).any(|b| b.is_ascii_uppercase())
}

/// Where only its length tells: letters of both cases that aren't words put together (`ConfigFile`), or digits within.
fn is_template(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has = |is: fn(&u8) -> bool| bytes.iter().any(is);
    if has(u8::is_ascii_digit) {
        return is_random(text);
    }
    // A capital that doesn't begin a word of three letters.
    let odd = (0..bytes.len()).any(|at| {
        let mut word = bytes.iter().skip(at);
        let capital = word.next().is_some_and(u8::is_ascii_uppercase);
        capital
            && !(word.next().is_some_and(u8::is_ascii_lowercase)
                && word.next().is_some_and(u8::is_ascii_lowercase))
    });
    odd && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase)
}

/// Letters of both cases and digits mixed as a generator mixes them, not as people do (`linux`, `postgresql16`, `Makefile`).
fn is_random(text: &str) -> bool {
    if text.len() < RANDOM_CHARS_MIN {
        return false;
    }
    let inner_upper = text.bytes().skip(1).any(|b| b.is_ascii_uppercase());
    let lower = text.bytes().any(|b| b.is_ascii_lowercase());
    // A digit with a letter behind it: versions stand at the end of a name.
    let inner_digit = text
        .as_bytes()
        .windows(2)
        .any(|w| matches!(w, [d, l] if d.is_ascii_digit() && l.is_ascii_alphabetic()));
    inner_digit || (inner_upper && lower && text.bytes().any(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_maker_are_one() {
        for (a, b) in [
            // apt, dpkg, debconf
            (
                "rm /tmp/apt-key-gpghome.JTAfYTJvfZ/pubring.gpg",
                "rm /tmp/apt-key-gpghome.qtMHROVGhZ/pubring.gpg",
            ),
            (
                "dpkg -i /tmp/apt-dpkg-install-kQzLaB/0-a.deb",
                "dpkg -i /tmp/apt-dpkg-install-Xo9fGh/0-a.deb",
            ),
            ("sh /tmp/tzdata.config.AbCDeF", "sh /tmp/tzdata.config.zzXXyy"),
            // Perl
            ("rm -rf /tmp/aBcDeFGhIj", "rm -rf /tmp/Qw3rTy12zX"),
            // Go, Python, Rust
            ("/tmp/go-build3812973141/b001/vet", "/tmp/go-build917314122/b001/vet"),
            ("python /tmp/tmp5u_hx2qk/setup.py", "python /tmp/tmpq__xx2qk/setup.py"),
            ("/tmp/pip-install-abcdefgh/wheel_0a", "/tmp/pip-install-x_1defgh/wheel_0a"),
            ("/tmp/pip-build-env-abcd_fgh/overlay", "/tmp/pip-build-env-x1y2z3w4/overlay"),
            ("ld /tmp/rustcAbCdEf/symbols.o", "ld /tmp/rustcz9ZdEf/symbols.o"),
            ("/tmp/cargo-installAbCdEf/release", "/tmp/cargo-installxYz1Ef/release"),
            // configure and CMake, which work where they are
            ("awk -f ./confUqTXZD/subs.awk", "awk -f ./confaBC12d/subs.awk"),
            ("cc -o cmTC_e3f4a", "cc -o cmTC_00b1c"),
            ("cd /src/CMakeScratch/TryCompile-AbCdEf", "cd /src/CMakeScratch/TryCompile-zz9Q8w"),
        ] {
            assert_eq!(take(a).unwrap(), take(b).unwrap());
        }
    }

    #[test]
    fn names_that_people_give_stay() {
        for text in [
            "/tmp/ConfigFile /tmp/app.Backup /tmp/app.README /tmp/app-ConfigFile",
            "/tmp/install-server /tmp/install.sh",
            "/tmp/python3.11 /tmp/release-202611 /tmp/build.log",
            "./conftest.c ./config.status confdefs.h configure cmTC_main",
            "/usr/src/app.JTAfYTJvfZ",
            "/tmp/tmp_database /tmp/tmp.config",
        ] {
            assert_eq!(take(text), None, "{text}");
        }
    }
}
