//! What the recorder wrote down of the build.

use std::process::Command;

use blubr_tests::engine::Builder;
use blubr_tests::program::{jq, text_of};
use blubr_tests::require;

use crate::stage::{Recorded, Web};

fn both(check: impl Fn(&'static Recorded)) {
    for builder in [Builder::Classic, Builder::BuildKit] {
        check(Recorded::of(builder));
    }
}

#[test]
fn the_trailer_holds_the_digest_of_what_stands_before_it() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        for log in ["build.ndjson", "filtered.ndjson"] {
            let log = recorded.file(log);
            let script = "head -n -1 \"$1\" | sha256sum | cut -d ' ' -f 1";
            let ours = text_of(Command::new("sh").args(["-c", script, "sh"]).arg(&log));
            assert_eq!(jq("select(.type == \"trailer\") | .sha256", &log), ours);
        }
    });
}

#[test]
fn nothing_was_lost_and_the_numbers_have_no_gap() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let log = recorded.file("build.ndjson");
        assert_eq!(jq("select(.type == \"trailer\") | [.lost, .exit] | @csv", &log), "0,0");
        assert_eq!(jq("select(.type == \"lost\")", &log), "");
        let gaps = "select(.seq) | .seq";
        let numbers: Vec<u64> = jq(gaps, &log).lines().map(|line| line.parse().unwrap()).collect();
        let whole: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert!(numbers == whole, "seq has gaps or is out of order");
    });
}

#[test]
fn the_step_that_fetches_shows_its_connection_and_its_file() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let log = recorded.file("filtered.ndjson");
        let port = Web::shared().port;
        let connections = format!(
            "select(.type == \"net.connect\" and .comm == \"wget\" and .daddr == \"127.0.0.1\" and .dport == {port}) | .pid"
        );
        let pid = jq(&connections, &log);
        assert_eq!(pid.lines().count(), 1, "{:?}: {pid}", recorded.builder);
        let file = format!(
            "select(.type == \"file.open\" and .pid == {pid} and (.path | endswith(\"/m8\")) and .mode == \"w\") | .create"
        );
        assert_eq!(jq(&file, &log), "true");
        let closed = format!(
            "select(.type == \"file.close\" and .pid == {pid} and (.path | endswith(\"/m8\"))) | .size"
        );
        assert_eq!(jq(&closed, &log), crate::stage::FEED.len().to_string());
    });
}

#[test]
fn each_step_s_shell_is_there_with_its_whole_argv() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let log = recorded.file("filtered.ndjson");
        let shells = jq("select(.type == \"process.exec\" and (.ret // 0) >= 0) | .argv | tojson", &log);
        for expected in [
            r#"["/bin/sh","-c","echo five > /m5"]"#,
            r#"["/bin/sh","-c","wget -q -O /m8 \"$FEED\""]"#,
            r#"["/bin/sh","-c","echo \"a \\\"quoted\\\" word\" > /m12 && sleep 1"]"#,
            r#"["/bin/touch","/m14"]"#,
            r#"["/bin/sh","-c","mv /m5 /srv/moved && rm /m12 && touch /m15"]"#,
        ] {
            assert!(
                shells.lines().any(|line| line == expected),
                "{:?}: no {expected}\n{shells}",
                recorded.builder
            );
        }
    });
}

#[test]
fn each_running_step_has_its_overlay_with_upper_and_lower() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let log = recorded.file("filtered.ndjson");
        let filter = "select(.type == \"mount.mount\" and .fstype == \"overlay\" and (.ret // 0) >= 0 and .upper != null) | .upper";
        let uppers = jq(filter, &log);
        let distinct: std::collections::BTreeSet<_> = uppers.lines().collect();
        // Seven RUN steps, and whatever the engine mounts for COPY and WORKDIR.
        assert!(distinct.len() >= 7, "{:?}: {uppers}", recorded.builder);
        let lower = jq(
            "select(.type == \"mount.mount\" and .fstype == \"overlay\" and .upper != null) | .lower | length",
            &log,
        );
        assert!(
            lower.lines().all(|count| count != "0"),
            "{:?}: an overlay without lower",
            recorded.builder
        );
        assert!(
            uppers.lines().all(|path| path.starts_with('/') && !path.contains("/l/")),
            "unresolved: {uppers}"
        );
    });
}

#[test]
fn the_log_is_for_its_owner_only() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        for name in ["build.ndjson", "filtered.ndjson", "app.att", "app.statement.json"] {
            let mode = text_of(Command::new("stat").args(["-c", "%a"]).arg(recorded.file(name)));
            assert_eq!(mode, "600", "{name}");
        }
    });
}
