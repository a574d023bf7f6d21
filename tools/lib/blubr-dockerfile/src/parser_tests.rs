//! Cases of the parser, each from BuildKit's documentation of the format or from what its parser does.

use super::*;

fn parse(file: &str) -> Dockerfile {
    Dockerfile::parse(file.as_bytes()).unwrap()
}

fn fails(file: &str) -> ParseError {
    Dockerfile::parse(file.as_bytes()).unwrap_err()
}

#[test]
fn lines_and_texts() {
    let file = parse("# c\n\nFROM a AS B\n  run x \\\n# in between\n   y\n\nCOPY --from=b c /d # e\n");
    let run = &file.instructions[1];
    assert_eq!((run.keyword.as_str(), run.lines, run.column), ("run", (4, 6), 3));
    assert_eq!(run.text, "  run x \\\n# in between\n   y");
    assert_eq!(run.args, ["x    y"]);
    let copy = &file.instructions[2];
    assert_eq!(
        (copy.flag("from"), copy.args.as_slice()),
        (Some("b"), ["c", "/d", "#", "e"].map(String::from).as_slice())
    );
    assert_eq!(file.stages[0].name.as_deref(), Some("b"));
    assert_eq!(file.stages[0].lines, (3, 8));
}

#[test]
fn crlf_and_a_byte_order_mark() {
    let file = parse("\u{feff}FROM a\r\nRUN x \\\r\n y\r\nCMD [\"z\"]\r\n");
    assert_eq!(file.instructions[1].args, ["x  y"]);
    assert_eq!(file.instructions[1].lines, (2, 3));
    assert!(file.instructions[2].json_form);
}

#[test]
fn backtick_as_escape() {
    let file = parse("# escape=`\nFROM a\nRUN dir c:\\ `\n  b\nENV A=c:\\ B=d` e\n");
    assert_eq!(file.instructions[1].args, ["dir c:\\   b"]);
    assert_eq!(file.instructions[2].pairs().collect::<Vec<_>>(), [("A", "c:\\"), ("B", "d` e")]);
}

#[test]
fn the_dialects_differ_on_an_escaped_escape() {
    let file = "FROM a\nRUN x \\\\\nRUN y\n";
    assert_eq!(parse(file).instructions.len(), 3);
    // As docker 20.10.24 and buildah 1.28.2 built it.
    assert_eq!(Dockerfile::parse_as(file.as_bytes(), Dialect::Docker20).unwrap().instructions.len(), 3);
    let buildah = Dockerfile::parse_as(file.as_bytes(), Dialect::Buildah).unwrap();
    assert_eq!(buildah.instructions[1].args, ["x \\RUN y"]);
}

#[test]
fn empty_lines_in_a_continuation_are_noted() {
    let file = parse("FROM a\nRUN x \\\n\n  \n y\n");
    assert_eq!(file.instructions[1].lines, (2, 5));
    assert_eq!(file.empty_continuations, [3], "the first of an instruction's");
}

#[test]
fn a_continuation_at_the_end_of_the_file() {
    assert_eq!(parse("FROM a\nRUN x \\").instructions[1].args, ["x"]);
    assert_eq!(parse("FROM a\nRUN x \\\n").instructions[1].lines, (2, 2));
}

#[test]
fn heredocs_and_lines_after_them() {
    let file = parse("FROM a\nCOPY <<a.txt <<-'b.txt' /d/\n$X\na.txt\n\t$Y\n\tb.txt\nUSER me\n");
    let copy = &file.instructions[1];
    assert_eq!(copy.lines, (2, 6));
    assert_eq!(copy.heredocs[0].body, "$X\n");
    assert!(copy.heredocs[0].expand && !copy.heredocs[1].expand && copy.heredocs[1].strip_tabs);
    assert_eq!(copy.heredocs[1].content(), "$Y\n");
    assert_eq!(file.instructions[2].lines, (7, 7));
}

#[test]
fn heredocs_with_comments_and_continuations_in_them() {
    let file = parse("FROM a\nRUN <<E\n# kept\nx \\\ny\nE\n");
    assert_eq!(file.instructions[1].heredocs[0].body, "# kept\nx \\\ny\n");
}

#[test]
fn no_heredoc_where_none_can_be() {
    for run in ["RUN [\"<<E\"]", "CMD <<E", "RUN echo $((1<<2))", "RUN cat <<<E", "RUN echo '<<E'"] {
        assert_eq!(parse(&format!("FROM a\n{run}\nUSER b\n")).instructions.len(), 3, "{run}");
    }
    assert_eq!(fails("FROM a\nUSER b\nRUN <<E\nx\n").line, 3);
}

#[test]
fn a_shift_with_spaces_is_a_heredoc_to_new_engines_only() {
    let file = "FROM a\nRUN echo $((1 << 2))\n";
    let e = fails(file);
    assert_eq!((e.line, e.column), (2, 15));
    assert!(e.what.contains("\"2))\""), "{e}");
    for older in [Dialect::BuildKit09, Dialect::Docker20] {
        assert_eq!(Dockerfile::parse_as(file.as_bytes(), older).unwrap().instructions.len(), 2);
    }
    assert_eq!(Dockerfile::parse_any(file.as_bytes()).unwrap().instructions.len(), 2);
    assert_eq!(Dockerfile::parse_any(b"FROM a\nENV A\n").unwrap_err(), fails("FROM a\nENV A\n"));
}

#[test]
fn old_dialects_know_no_heredocs() {
    let e = Dockerfile::parse_as(b"FROM a\nRUN <<E\nx\nE\n", Dialect::Docker20).unwrap_err();
    assert_eq!((e.line, e.what.as_str()), (3, "unknown instruction x"));
}

#[test]
fn json_or_shell_form() {
    let file = parse(
        "FROM a\nCMD [\"a\", \"b\"]\nCMD ['a']\nRUN [ -f x ]\nCOPY [\"a b\", \"/c d\"]\nENTRYPOINT []\n",
    );
    let forms: Vec<_> = file.instructions[1..].iter().map(|i| (i.json_form, i.args.len())).collect();
    assert_eq!(forms, [(true, 2), (false, 1), (false, 1), (true, 2), (true, 0)]);
    assert_eq!(fails("FROM a\nCMD [1, 2]\n").line, 2);
}

#[test]
fn healthcheck_and_onbuild() {
    let file = parse(
        "FROM a\nHEALTHCHECK --interval=5s --timeout=3s CMD curl -f x || exit 1\nHEALTHCHECK none\nONBUILD run [\"x\"]\n",
    );
    let check = &file.instructions[1];
    assert_eq!(check.args, ["CMD", "curl -f x || exit 1"]);
    assert_eq!(check.flag("interval"), Some("5s"));
    let trigger = file.instructions[3].trigger.as_deref().unwrap();
    assert!(trigger.json_form && trigger.keyword == "run");
    assert_eq!(file.instructions[3].args, ["run", "x"]);
}

#[test]
fn onbuild_with_a_heredoc() {
    let file = parse("FROM a\nONBUILD RUN <<E\nx\nE\n");
    let trigger = file.instructions[1].trigger.as_deref().unwrap();
    assert_eq!(trigger.heredocs[0].body, "x\n");
    assert_eq!(trigger.lines, (2, 4));
}

#[test]
fn stages_and_shells() {
    let file = parse(
        "ARG V=1\nFROM --platform=$P a:$V AS base\nSHELL [\"/bin/bash\", \"-c\"]\nRUN x\nFROM base\nRUN y\nFROM scratch\nRUN z\n",
    );
    assert_eq!(file.instructions[0].stage, None);
    assert_eq!(file.stages.len(), 3);
    assert_eq!(file.stages[0].platform.as_deref(), Some("$P"));
    assert_eq!(file.stage(1).len(), 2);
    let bash: &[String] = &["/bin/bash".to_owned(), "-c".to_owned()];
    let shells: Vec<_> = [1, 3, 5, 7].map(|i| file.shell_at(i)).to_vec();
    assert_eq!(shells, [None, Some(bash), Some(bash), None]);
}

#[test]
fn errors_have_their_place() {
    for (file, line, column) in [
        ("", 1, 1),
        ("# only\n", 1, 1),
        ("RUN x\n", 1, 1),
        ("ARG A\n", 1, 1),
        ("FROM a\n\n   FOO x\n", 3, 4),
        ("FROM a AS 1x\n", 1, 11),
        ("FROM a b\n", 1, 8),
        ("FROM a \\\n  b\n", 2, 3),
        ("FROM a\nENV A\n", 2, 5),
        ("FROM a\nENV A=b \\\n  AA=c A\n", 3, 8),
        ("FROM a\nENV A=b =x\n", 2, 9),
        ("FROM a\nCOPY x\n", 2, 1),
        ("FROM a\nCOPY x <<E\nE\n", 2, 8),
        ("FROM a\nSHELL sh\n", 2, 7),
        ("FROM a\nONBUILD ONBUILD RUN x\n", 2, 9),
        ("FROM a\nONBUILD FROM b\n", 2, 9),
        ("FROM a\nHEALTHCHECK x\n", 2, 13),
        ("FROM a\nHEALTHCHECK --interval=1 CMD x\n", 2, 13),
        ("FROM a\nRUN --network=none --mount x\n", 2, 20),
        ("FROM a\nRUN --network=none \\\n\n  --network=none x\n", 4, 3),
        ("FROM a\nCMD [1]\n", 2, 5),
        ("# escape=x\nFROM a\n", 1, 1),
        ("RUN x\nFROM a\n", 1, 1),
    ] {
        let e = fails(file);
        assert_eq!((e.line, e.column), (line, column), "{file:?}: {e}");
    }
}

#[test]
fn a_check_directive_is_one_that_buildkit_knows() {
    assert_eq!(fails("# check=error=maybe\nFROM a\n").line, 1);
    assert_eq!(parse("# check=skip=all;error=true\nFROM a\n").instructions.len(), 1);
    // Engines that know no such directive have a comment there.
    assert!(Dockerfile::parse_any(b"# check=bogus\nFROM a\n").is_ok());
}

#[test]
fn flags_that_are_not_known_are_objections_only() {
    let bytes = b"FROM a\nCOPY --user=me x /y\nRUN --network=moon x\nHEALTHCHECK\n";
    let file = Dockerfile::read_as(bytes, Dialect::BuildKit).unwrap();
    let of = |o: &Objection| (o.error.line, o.error.column, o.weight);
    assert_eq!(
        file.objections().iter().map(of).collect::<Vec<_>>(),
        [(2, 6, Weight::UnknownFlag), (3, 5, Weight::Wrong), (4, 1, Weight::Unfinished)]
    );
    assert!(Dockerfile::parse(b"FROM a\nCOPY --user=me x /y\n").is_ok());
    for good in [
        "RUN --mount=type=cache,target=/a --mount=\"type=bind,target=/b\" --security=insecure x",
        "ADD --checksum=sha256:0 --keep-git-dir=true --unpack --exclude=a --exclude=b --link x /y",
        "COPY --from=a --parents --chmod=755 --chown=$U x /y",
        "HEALTHCHECK --interval=1m --timeout=0 --start-period=1ms --retries=3 CMD x",
        "HEALTHCHECK --whatever NONE",
        "ARG --any X",
        "STOPSIGNAL --any 9",
    ] {
        let file = Dockerfile::read_as(format!("FROM a\n{good}\n").as_bytes(), Dialect::BuildKit);
        assert_eq!(file.unwrap().objections(), [], "{good}");
    }
}

#[test]
fn an_own_frontend_may_have_own_instructions() {
    assert_eq!(fails("# syntax=docker/dockerfile:1\nFROM a\nINCLUDE x y\n").line, 3);
    let file = parse("# syntax=example/frontend\nFROM a\nINCLUDE x y\n");
    assert_eq!(file.instructions[1].args, ["x y"]);
}

#[test]
fn limits_are_errors() {
    let long = format!("FROM a\nRUN {}\n", "x".repeat(LINE_BYTES_MAX));
    assert_eq!(fails(&long).line, 2);
    assert!(Dockerfile::parse(&vec![b'\n'; FILE_BYTES_MAX + 1]).is_err());
    let many = format!("FROM a\n{}", "USER b\n".repeat(INSTRUCTIONS_MAX));
    assert!(fails(&many).what.contains("more than"));
    let docs = format!("FROM a\nRUN {}\n", "<<E \\\n".repeat(HEREDOCS_MAX + 1));
    assert!(fails(&docs).what.contains("heredocs"));
    let (opened, ended) = ("<<E \\\n".repeat(HEREDOCS_MAX - 1), "E\n".repeat(HEREDOCS_MAX));
    let docs = format!("FROM a\nRUN \\\n{opened}<<E\n{ended}");
    assert_eq!(parse(&docs).instructions[1].heredocs.len(), HEREDOCS_MAX);
    let deep = format!("FROM a\nRUN <<E {}\n", "${a:-".repeat(5_000));
    assert!(fails(&deep).what.contains("nested deeper"), "a nesting beyond us may hide a heredoc");
}

#[test]
fn messages_hold_no_control_characters() {
    for bad in [
        "FROM a\n\u{1b}[31mX y\n",
        "FROM a AS \u{1b}\n",
        "FROM a\nENV A=b \u{7}\u{8}\n",
        "FROM a\nHEALTHCHECK \u{1b}x\n",
    ] {
        let e = fails(bad);
        assert!(!e.what.chars().any(char::is_control), "{e:?}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_noted() {
    let file = Dockerfile::parse(b"FROM a\n# caf\xe9\nRUN echo \xff\n").unwrap();
    assert_eq!(file.not_utf8, [2, 3]);
    let file = Dockerfile::parse(b"FROM a\nCOPY --chown=\xe9 x <<E /\n\xff\nE\n").unwrap();
    assert_eq!(file.instructions[1].flags, ["--chown=\u{e9}"]);
    assert_eq!(file.instructions[1].heredocs[0].body, "\u{fffd}\n");
    let file = Dockerfile::parse(b"FROM a\n# caf\xe9\nRUN echo \xff\n").unwrap();
    assert_eq!(file.instructions[1].args, ["echo \u{fffd}"]);
}

/// The kept corpus, which BuildKit has answered too (tests/suites/dockerfile.rs).
macro_rules! kept {
    ($($name:literal)*) => {
        [$(include_bytes!(concat!("../../../../tests/fixtures/dockerfiles/", $name, ".Dockerfile"))),*]
    };
}

/// Any bytes give a parse or an error, and lines that are in the file; what parses can be evaluated.
#[test]
fn arbitrary_bytes_never_panic() {
    let seeds: [&[u8]; 15] = kept!(
        "directives" "continuations" "crlf-bom" "heredocs" "exec-or-shell" "env-label-arg" "flags" "stages"
        "onbuild" "odd" "not-utf8" "bad-json" "bad-env" "bad-heredoc" "bad-shift"
    );
    let host = crate::Platform::linux_on("x86_64");
    let build_args = [("V".to_owned(), "a$b".to_owned())].into();
    let options = crate::BuildOptions { build_args, target: None, platform: None, host };
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    let bytes = b"\\`\"'<>-$ {}[]#=\n\r\t\xff\0A:E";
    for round in 0..6_000 {
        let mut file = seeds[round % seeds.len()].to_vec();
        for _ in 0..1 + random() % 8 {
            let at = random() % file.len();
            match random() % 3 {
                0 => file[at] = bytes[random() % bytes.len()],
                1 => file.insert(at, bytes[random() % bytes.len()]),
                _ => drop(file.remove(at)),
            }
        }
        for dialect in Dialect::ALL {
            let count = file.split_inclusive(|b| *b == b'\n').count().max(1);
            match Dockerfile::read_as(&file, dialect) {
                Ok(parsed) => {
                    let mut last = 0;
                    for objection in parsed.objections() {
                        assert!((1..=count).contains(&objection.error.line));
                    }
                    if let Err(error) = crate::evaluate(&parsed, &options) {
                        assert!((1..=count).contains(&error.line) && error.column > 0);
                    }
                    for i in &parsed.instructions {
                        assert!(i.lines.0 > last && i.lines.1 >= i.lines.0 && i.lines.1 <= count);
                        last = i.lines.1;
                        let _ = i.shell_commands(&crate::default_shell());
                    }
                }
                Err(e) => assert!(e.line >= 1 && e.line <= count),
            }
        }
    }
}
