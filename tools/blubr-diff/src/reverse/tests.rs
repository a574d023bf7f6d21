//! History lines as the three engines write them, and lines that nobody should.

use std::collections::BTreeMap;

use blubr_dockerfile::{Dockerfile, Scope};
use serde_json::json;

use super::*;
use crate::output::dockerfile;

fn config(history: &[(&str, &str, bool)], config: serde_json::Value) -> Config {
    let layers = history.iter().filter(|h| !h.2).count();
    let history: Vec<_> = history
        .iter()
        .map(|(by, comment, empty)| json!({"created_by": by, "comment": comment, "empty_layer": empty}))
        .collect();
    let ids: Vec<_> = (0..layers).map(|n| format!("sha256:{n:064x}")).collect();
    let text =
        json!({"config": config, "history": history, "rootfs": {"type": "layers", "diff_ids": ids}});
    Config::parse(text.to_string().as_bytes()).unwrap()
}

fn sources(reversed: &Reversed) -> Vec<&str> {
    reversed.entries.iter().chain(&reversed.tail).map(|e| e.source.as_deref().unwrap_or("-")).collect()
}

#[test]
fn classic() {
    let c = config(
        &[
            ("/bin/sh -c #(nop)  ARG V=1.2", "", true),
            ("/bin/sh -c #(nop)  ENV A=1 B=two words C=sing $A le", "", true),
            ("|2 N=given V=1.2 /bin/sh -c echo \"$V && x\" &&     echo 'y  z'", "", false),
            ("/bin/ash -e -c #(nop)  SHELL [/bin/ash -e -c]", "", true),
            ("|1 V=1.2 /bin/ash -e -c a|b", "", false),
            ("/bin/ash -e -c #(nop)  CMD [\"/bin/ash\" \"-e\" \"-c\" \"echo \\\"$A\\\"\"]", "", true),
            ("/bin/busybox --install -s /bin", "", false),
        ],
        json!({"Env": ["A=1", "B=two words", "C=sing $A le"], "Shell": ["/bin/ash", "-e", "-c"],
            "Cmd": ["/bin/ash", "-e", "-c", "echo \"$A\""]}),
    );
    let reversed = reverse(&c, None, &[]);
    assert_eq!(
        sources(&reversed),
        [
            "ARG V=1.2",
            "ENV A=1 B=\"two words\" C=\"sing \\$A le\"",
            "ARG N=given",
            "RUN echo \"$V && x\" &&     echo 'y  z'",
            "SHELL [\"/bin/ash\", \"-e\", \"-c\"]",
            "RUN a|b",
            "CMD echo \"$A\"",
            "RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]",
        ]
    );
    assert!(
        reversed.entries[..7].iter().enumerate().all(|(i, e)| i == 3 || e.unknown.is_empty()),
        "{reversed:?}"
    );
    assert_eq!(reversed.entries[5].build_args, [("V".into(), "1.2".into())]);
    assert!(reversed.remarks.is_empty(), "{:?}", reversed.remarks);
}

#[test]
fn what_buildah_notes_of_a_build_s_options_is_no_instruction() {
    // buildah 1.43 with --timestamp 0.
    let c = config(
        &[
            ("/bin/sh -c [\"/bin/busybox\", \"--install\"]|force-mtime=0", "", false),
            ("/bin/sh -c cat /a /b > /c|force-mtime=0", "", false),
            ("/bin/sh -c #(nop) WORKDIR /w|force-mtime=0", "", true),
            ("/bin/sh -c a|b", "", false),
        ],
        json!({"WorkingDir": "/w"}),
    );
    let reversed = reverse(&c, None, &[]);
    let wanted =
        ["RUN [\"/bin/busybox\", \"--install\"]", "RUN cat /a /b > /c", "WORKDIR /w", "RUN a|b"];
    assert_eq!(sources(&reversed), wanted);
}

#[test]
fn given_build_arguments_are_told() {
    let c = config(
        &[
            ("/bin/sh -c #(nop)  ARG V=1", "", true),
            ("/bin/sh -c #(nop)  ARG N", "", true),
            ("|2 N=a b V=2 /bin/sh -c x", "", false),
        ],
        json!({}),
    );
    let reversed = reverse(&c, None, &[]);
    assert_eq!(sources(&reversed), ["ARG V=1", "ARG N=\"a b\"", "RUN x"]);
    assert_eq!(reversed.entries[0].notes, ["--build-arg gave 2"]);
    assert_eq!(reversed.entries[1].notes, ["the value was given by --build-arg"]);
}

#[test]
fn buildkit() {
    let bk = "buildkit.dockerfile.v0";
    let c = config(
        &[
            ("ARG V=a b", bk, true),
            ("RUN |1 V=a b /bin/sh -c echo x # buildkit # buildkit", bk, false),
            ("RUN /bin/sh -c a\nb\n # buildkit", bk, false),
            ("COPY a.txt dir/x /dst/ # buildkit", bk, false),
            ("EXPOSE map[53/udp:{} 80/tcp:{}]", bk, true),
            ("VOLUME [/v3 /v 4]", bk, true),
            ("HEALTHCHECK {Test:[CMD-SHELL x] Interval:5s}", bk, true),
        ],
        json!({"Volumes": {"/v3": {}, "/v 4": {}}, "OnBuild": ["RUN echo \"$A\""], "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "Healthcheck": {"Test": ["CMD-SHELL", "test -f x || exit 1"], "Interval": 5_000_000_000_i64, "Retries": 2}}),
    );
    let reversed = reverse(&c, None, &[]);
    assert_eq!(
        sources(&reversed),
        [
            "ARG V=\"a b\"",
            "RUN echo x # buildkit",
            "RUN <<EOF\na\nb\nEOF",
            "COPY a.txt dir/x /dst/",
            "EXPOSE 53/udp 80/tcp",
            "VOLUME [\"/v3\", \"/v 4\"]",
            "HEALTHCHECK --interval=5s --retries=2 CMD test -f x || exit 1",
            "ONBUILD RUN echo \"$A\"",
        ]
    );
}

/// As BuildKit keeps triggers that have heredocs: their bodies behind the line, the end without the tabs of a `<<-`.
#[test]
fn onbuild_with_heredocs() {
    let triggers = [
        "RUN <<E cat > /x\n\tbody\nE",
        "COPY <<-one <<'two' /d/\n\t$A\none\n$B\ntwo",
        "RUN [\"/bin/x\", \"<<no\"]",
        "ENV A=1 B=\"two words\"",
    ];
    let c = config(
        &[("CMD [\"x\"]", "buildkit.dockerfile.v0", true)],
        json!({"OnBuild": triggers, "Cmd": ["x"]}),
    );
    let reversed = reverse(&c, None, &[]);
    let wanted: Vec<String> = triggers.iter().map(|t| format!("ONBUILD {t}")).collect();
    assert_eq!(
        sources(&reversed).get(1..),
        Some(wanted.iter().map(String::as_str).collect::<Vec<_>>().as_slice())
    );
    // The printed lines give the same triggers again.
    let again = Dockerfile::parse(format!("FROM scratch\n{}\n", wanted.join("\n")).as_bytes()).unwrap();
    let again: Vec<String> = again.instructions.iter().skip(1).map(|i| i.onbuild_expression()).collect();
    assert_eq!(again, triggers);
    // One that ends too early, or takes in what stands behind it, is not printed as it stands.
    let c = config(&[], json!({"OnBuild": ["RUN <<E\nx", "RUN a\nRUN b", "RUN a \\"]}));
    let reversed = reverse(&c, None, &[]);
    assert!(sources(&reversed).iter().all(|s| !s.starts_with("ONBUILD")), "{:?}", sources(&reversed));
}

/// Docker 26 and 28 wrote these lines for heredocs, a shebang, and ports.
#[test]
fn newer_buildkit() {
    let bk = "buildkit.dockerfile.v0";
    let c = config(
        &[
            ("ARG V=1.2", bk, true),
            ("COPY <<one <<two /docs/ # buildkit", bk, false),
            ("RUN |1 V=9 x /bin/sh -c cat <<E1 - <<-E2 > /h2\none\nE1\n\ttwo\nE2 # buildkit", bk, false),
            ("RUN |1 V=9 x /bin/sh -c /dev/pipes/S # buildkit", bk, false),
            ("EXPOSE [53/udp 80/tcp]", bk, true),
            ("HEALTHCHECK &{[\"CMD\" \"test\" \"/m 8\"] \"5s\" \"0s\" \"0s\" \"2s\" '\\x00'}", bk, true),
            ("HEALTHCHECK &{[\"NONE\"] \"0s\" \"0s\" \"0s\" \"0s\" '\\x00'}", bk, true),
        ],
        json!({"ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Healthcheck": {"Test": ["NONE"]}}),
    );
    let reversed = reverse(&c, None, &[]);
    assert_eq!(
        sources(&reversed),
        [
            "ARG V=1.2",
            "COPY [\"<<one\", \"<<two\", \"/docs/\"]",
            "RUN cat <<E1 - <<-E2 > /h2\none\nE1\n\ttwo\nE2",
            "RUN /dev/pipes/S",
            "EXPOSE 53/udp 80/tcp",
            "HEALTHCHECK --interval=5s --start-interval=2s CMD [\"test\", \"/m 8\"]",
            "HEALTHCHECK NONE",
        ]
    );
    assert_eq!(reversed.entries[0].notes, ["--build-arg gave 9 x"]);
    let unknown: Vec<usize> = reversed.entries.iter().map(|e| e.unknown.len()).collect();
    assert_eq!(unknown, [0, 1, 0, 1, 0, 0, 0], "{reversed:?}");
}

/// kaniko writes instructions as they stand in the file; debuerreotype a comment.
#[test]
fn others() {
    let c = config(
        &[
            ("# debian.sh --arch 'amd64' out/ 'bookworm'", "debuerreotype 0.15", false),
            ("ENV A=\"two words\"", "", true),
            ("RUN apt-get update && apt-get install -y x", "", false),
            ("COPY --from=build /a $A/", "", false),
            ("CMD [\"sh\"]", "", true),
        ],
        json!({"Env": ["A=two words"], "Cmd": ["sh"]}),
    );
    let reversed = reverse(&c, None, &[]);
    assert_eq!(
        sources(&reversed),
        [
            "-",
            "ENV A=\"two words\"",
            "RUN apt-get update && apt-get install -y x",
            "COPY --from=build /a $A/",
            "CMD [\"sh\"]",
        ]
    );
    assert!(reversed.entries[0].unknown[0].contains("debian.sh"), "{reversed:?}");
    let classic = config(
        &[("# debian.sh", "debuerreotype 0.15", false), ("/bin/sh -c #(nop)  CMD [\"bash\"]", "", true)],
        json!({"Cmd": ["bash"]}),
    );
    assert_eq!(sources(&reverse(&classic, None, &[])), ["-", "CMD [\"bash\"]"]);
}

#[test]
fn buildah() {
    let c = config(
        &[
            ("/bin/sh -c #(nop) CMD [\"sh\"]", "", false),
            ("/bin/sh -c #(nop) ARG V", "FROM localhost/base:latest", true),
            ("/bin/sh -c #(nop) ARG N V", "FROM 1", true),
            ("/bin/sh -c #(nop) ENV A=1 B=\"two $V\"", "FROM 2", true),
            ("|2 N=given V=1.2 /bin/sh -c [\"/x\", \"a b\"]", "FROM 3", false),
            ("/bin/sh -c #(nop) SHELL [\"/bin/ash\", \"-c\"]", "FROM 4", true),
            ("/bin/sh -c #(nop) CMD echo \"$A\"", "FROM 5", true),
        ],
        json!({"Env": ["A=1", "B=two 1.2"], "Cmd": ["/bin/sh", "-c", "echo \"$A\""], "Labels": {"io.buildah.version": "1.28.2"}}),
    );
    let reversed = reverse(&c, None, &[]);
    assert_eq!(
        sources(&reversed),
        [
            "CMD [\"sh\"]",
            "ARG V=1.2",
            "ARG N=given",
            "ENV A=1 B=\"two $V\"",
            "RUN [\"/x\", \"a b\"]",
            "SHELL [\"/bin/ash\", \"-c\"]",
            "CMD echo \"$A\"",
        ]
    );
    assert_eq!(reversed.base.as_ref().map(|b| (b.lines, b.certain)), Some((1, true)));
    assert_eq!(reversed.remarks.len(), 1, "{:?}", reversed.remarks);
}

#[test]
fn missing_and_rewritten_histories_are_said() {
    let none = config(&[], json!({"Env": ["A=1"], "User": "me"}));
    assert_eq!(sources(&reverse(&none, None, &[])), ["ENV A=1", "USER me"]);
    let text = json!({"history": [{"created_by": "RUN x"}], "rootfs": {"diff_ids": []}}).to_string();
    let rewritten = reverse(&Config::parse(text.as_bytes()).unwrap(), None, &[]);
    assert!(rewritten.remarks.iter().any(|r| r.contains("rewritten")));
    let committed = config(&[("bash", "made by hand", false)], json!({"Cmd": ["bash"]}));
    let reversed = reverse(&committed, None, &[]);
    assert!(reversed.entries[0].unknown.iter().any(|u| u.contains("committed")), "{reversed:?}");
}

#[test]
fn a_given_base_is_compared() {
    let base = config(&[("COPY a /b # buildkit", "", false), ("CMD [\"x\"]", "", true)], json!({}));
    let image = config(
        &[("COPY a /b # buildkit", "", false), ("CMD [\"x\"]", "", true), ("RUN y", "", false)],
        json!({}),
    );
    assert_eq!(reverse(&image, Some(&base), &[]).base.unwrap().lines, 2);
    let other = config(&[("COPY c /b # buildkit", "", false)], json!({}));
    assert_eq!(reverse(&image, Some(&other), &[]).base, None);
}

/// Whatever a history says, the print is a Dockerfile of exactly the instructions that were given, without a character that
/// a terminal obeys.
#[test]
fn hostile_histories_stay_in_their_lines() {
    let evil = [
        "\nUSER root",
        "\r\nRUN evil",
        "\u{1b}[2J",
        "\u{9b}31m",
        "\u{202e}",
        "\\",
        "\"",
        "'",
        "`",
        "$X",
        "${X:-",
        "<<EOF\nx\nEOF",
        "# buildkit",
        " # buildkit",
        "\0",
        "[",
        "]",
        "{",
        "é",
        "\u{2028}FROM x",
        "|1 A=b ",
        "--mount=x ",
        "#(nop) ",
        "=",
        " = ",
    ];
    let lines = [
        "/bin/sh -c #(nop)  ENV A=@",
        "/bin/sh -c #(nop)  @ENV A=1",
        "/bin/sh -c #(nop) ENV A=@",
        "ENV A=@",
        "ENV @=1",
        "LABEL @=@",
        "RUN /bin/sh -c @ # buildkit",
        "RUN |1 A=@ /bin/sh -c x@ # buildkit",
        "/bin/sh -c @",
        "|@ A=1 /bin/sh -c x",
        "COPY @ /x # buildkit",
        "COPY x @ # buildkit",
        "USER @",
        "WORKDIR @",
        "CMD [\"@\"]",
        "CMD @",
        "ENTRYPOINT [@]",
        "SHELL [@]",
        "EXPOSE map[@:{}]",
        "VOLUME [@]",
        "HEALTHCHECK &{[\"CMD-SHELL\" \"@\"] \"5s\" '\\x02'}",
        "STOPSIGNAL @",
        "MAINTAINER @",
        "ARG @",
        "ARG A=@",
        "@",
        "ONBUILD @",
        "/bin/sh -c #(nop) COPY file:@ in @",
        "/bin/sh -c #(nop) ONBUILD @",
        "/bin/sh -c #(nop) RUN @",
        "FROM @",
    ];
    for line in lines {
        for (i, one) in evil.into_iter().enumerate() {
            for (j, two) in evil.into_iter().enumerate() {
                let said = if (i + j) % 2 == 0 { "buildkit.dockerfile.v0" } else { one };
                let text = line.replacen('@', one, 1).replace('@', two);
                let c = config(
                    &[(&text, said, false), ("USER after", "", true)],
                    json!({"Env": [format!("A={one}"), format!("{two}=x")], "Labels": {one: two}, "User": "after", "Volumes": {one: {}},
                        "OnBuild": [format!("RUN x{two}")], "Cmd": [two], "Shell": [one, two], "WorkingDir": one, "StopSignal": two}),
                );
                let reversed = reverse(&c, None, &[]);
                let print = dockerfile::print(&reversed, &c, "x", None);
                let bad = print.chars().find(|c| blubr_cli::misleads(*c) && *c != '\n' && *c != '\t');
                assert_eq!(bad, None, "{text:?} gives {print}");
                let file = Dockerfile::parse(print.as_bytes())
                    .unwrap_or_else(|e| panic!("{text:?} gives {print}: {e}"));
                let given: Vec<_> = sources(&reversed).into_iter().filter(|s| *s != "-").collect();
                let read: Vec<_> = file.instructions[1..].iter().map(|i| i.text.as_str()).collect();
                assert_eq!(read, given, "{text:?}");
            }
        }
    }
}

/// What is printed for pairs reads back to the values.
#[test]
fn values_read_back() {
    for value in [
        "a",
        "",
        "two words",
        "$A",
        "\"q\"",
        "'s'",
        "back\\slash",
        "a=b",
        "ü",
        "#x",
        "a\\",
        "`x`",
        "$",
        "\\\"",
    ] {
        let c = config(
            &[(&format!("ENV V={value}"), "buildkit.dockerfile.v0", true)],
            json!({"Env": [format!("V={value}")]}),
        );
        let reversed = reverse(&c, None, &[]);
        let instruction = layout::parse_one(reversed.entries[0].source.as_deref().unwrap()).unwrap();
        let words = Scope::new('\\', BTreeMap::new()).step(&instruction).unwrap();
        assert_eq!(words, ["V", value]);
    }
}

/// Large configs, each made to be slow in one place.
#[test]
fn huge_configs_take_no_longer_than_they_are_long() {
    use std::time::{Duration, Instant};
    const BYTES: usize = 1 << 20;
    let many = |what: &str| what.repeat(BYTES / what.len());
    let names: Vec<String> = (0..30_000).map(|n| format!("/v{n}")).collect();
    let volumes: serde_json::Map<String, serde_json::Value> =
        names.iter().map(|n| (n.clone(), json!({}))).collect();
    let env: Vec<String> = (0..30_000).map(|n| format!("E{n}=x")).collect();
    let lines = [
        (format!("|2 A={}", many("x /bin/sh -c ")), json!({})),
        (format!("VOLUME [{}]", many("/v ")), json!({"Volumes": volumes})),
        (format!("ENV {}", many("E1=x ")), json!({"Env": env})),
        (format!("RUN /bin/sh -c {}", many("a    b\n")), json!({})),
        (format!("|100000 {} /bin/sh -c x", many("B=x ")), json!({})),
    ];
    for (line, more) in lines {
        let start = Instant::now();
        let c = config(&[(&line, "", false)], more);
        dockerfile::print(&reverse(&c, None, &[]), &c, "x", None);
        // Without optimisation, and with other tests beside it.
        assert!(start.elapsed() < Duration::from_secs(60), "{}: {:?}", &line[..20], start.elapsed());
    }
}

/// buildah keeps a RUN's flags in front of the command as they are written, quotes and all.
#[test]
fn flags_of_a_run_whose_heredocs_have_no_ends_stay_in_front() {
    let flags = "--mount=\"type=bind,source=a b,target=/x\"  --network=none ";
    let line = format!("/bin/sh -c {flags}cat <<A <<B\nx\ny");
    let reversed = reverse(&config(&[(&line, "FROM 1", false)], json!({})), None, &[]);
    let text = sources(&reversed).join("\n");
    assert!(text.contains(&format!("RUN {flags}")), "{text}");
    let run = layout::parse_one(&text).unwrap();
    assert_eq!(run.flags, ["--mount=type=bind,source=a b,target=/x", "--network=none"]);
    assert!(run.args.iter().any(|word| word.starts_with("cat <<A")), "{run:?}");
}
