//! The build that was asked for, and nothing of the decoy beside it.

use blubr_tests::bins;
use blubr_tests::engine::Builder;
use blubr_tests::program::{jq, run, stdout_of, text_of};
use blubr_tests::require;

use crate::stage::Recorded;

fn both(check: impl Fn(&'static Recorded)) {
    for builder in [Builder::Classic, Builder::BuildKit] {
        check(Recorded::of(builder));
    }
}

const DECOY: &str = "select([.. | strings | test(\"/decoy[1-4]$|touch /decoy[1-4]\")] | any) | .seq";

#[test]
fn nothing_of_the_decoy_is_in_the_filtered_log() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        assert_ne!(jq(DECOY, &recorded.file("build.ndjson")), "", "the decoy must be in the whole log");
        let events = jq(DECOY, &recorded.file("filtered.ndjson"));
        assert_eq!(events, "", "{:?}", recorded.builder);
    });
}

#[test]
fn the_list_names_both_builds() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let list = text_of(
            bins::command("blubr-filter").args(["--build", "list"]).arg(recorded.file("build.ndjson")),
        );
        let ours = format!(
            "blubr-slice-{}",
            if recorded.builder == Builder::Classic { "classic" } else { "buildkit" }
        );
        let decoy = ours.replace("slice", "decoy");
        for tag in [&ours, &decoy] {
            assert_eq!(
                list.lines().filter(|line| line.contains(tag.as_str())).count(),
                1,
                "{tag}:\n{list}"
            );
        }
    });
}

/// The number that the list gives to the build of a tag.
fn number_of(recorded: &Recorded, tag: &str) -> String {
    let mut list = bins::command("blubr-filter");
    let list = text_of(list.args(["--build", "list"]).arg(recorded.file("build.ndjson")));
    let line =
        list.lines().find(|line| line.contains(tag)).unwrap_or_else(|| panic!("no {tag} in {list}"));
    line.split('\t').next().unwrap().to_owned()
}

#[test]
fn each_build_can_be_asked_for_by_number() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let has = |number: &str, marker: &str| {
            let log = recorded.file(&format!("number-{number}-{marker}.ndjson"));
            let mut filter = bins::command("blubr-filter");
            filter.args(["--build", number, "-o"]).arg(&log).arg(recorded.file("build.ndjson"));
            drop(stdout_of(&mut filter));
            let events = format!(
                "select(.type == \"file.open\" and .create and ((.path // \"\") | endswith(\"/{marker}\"))) | .seq"
            );
            !jq(&events, &log).is_empty()
        };
        let ours = number_of(recorded, &recorded.tag);
        let decoy = number_of(recorded, &recorded.tag.replace("slice", "decoy"));
        assert!(has(&ours, "m8") && has(&decoy, "decoy1"), "{:?}", recorded.builder);
        assert!(!has(&ours, "decoy1") && !has(&decoy, "m8"), "{:?}", recorded.builder);
    });
}

#[test]
fn a_process_that_calls_itself_dockerd_is_in_no_build() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let nest = std::fs::read_to_string(recorded.file("impostor")).unwrap();
        let events = format!("select([.. | strings | startswith(\"{nest}\")] | any) | .seq");
        assert_ne!(
            jq(&events, &recorded.file("build.ndjson")),
            "",
            "the impostor must be in the whole log"
        );
        assert_eq!(jq(&events, &recorded.file("filtered.ndjson")), "", "{:?}", recorded.builder);
        let decoy = bins::command("blubr-filter")
            .args(["--build", "2"])
            .arg(recorded.file("build.ndjson"))
            .output()
            .unwrap();
        assert!(decoy.status.success());
        assert!(!String::from_utf8_lossy(&decoy.stdout).contains(&nest), "{:?}", recorded.builder);
    });
}

#[test]
fn a_filtered_log_can_be_replayed_from_its_source() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let verify = |source: &std::path::Path, filtered: &std::path::Path| {
            run(bins::command("blubr-filter").arg("verify").arg("--source").arg(source).arg(filtered))
                .status
                .code()
        };
        let (source, filtered) = (recorded.file("build.ndjson"), recorded.file("filtered.ndjson"));
        assert_eq!(verify(&source, &filtered), Some(0));
        // One event fewer, and the trailer's digest made to fit again: only the replay can tell.
        let script = "lines=$(head -n -1 \"$1\" | sed '40d'); printf '%s\\n' \"$lines\"; \
                      sum=$(printf '%s\\n' \"$lines\" | sha256sum | cut -d ' ' -f 1); \
                      tail -n 1 \"$1\" | sed \"s/\\(\\\"sha256\\\":\\\"\\)[0-9a-f]*\\(\\\"}\\)\\$/\\1$sum\\2/\"";
        let forged =
            stdout_of(std::process::Command::new("bash").args(["-c", script, "bash"]).arg(&filtered));
        let path = recorded.file("forged.ndjson");
        std::fs::write(&path, forged).unwrap();
        assert_eq!(verify(&source, &path), Some(1), "{:?}", recorded.builder);
    });
}
