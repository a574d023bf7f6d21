//! Cases of whole files, each as BuildKit's `dockerfile2llb` answers it (tried against it with a base image that sets nothing).

use super::*;

fn options(build_args: &[(&str, &str)], target: Option<&str>, platform: &str) -> BuildOptions {
    let host = Platform::linux_on("x86_64");
    BuildOptions {
        build_args: build_args.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        target: target.map(str::to_owned),
        platform: Platform::parse(platform, &host),
        host,
    }
}

fn evaluated(file: &str, options: &BuildOptions) -> Result<Vec<Option<Evaluated>>, ParseError> {
    evaluate(&Dockerfile::parse(file.as_bytes()).unwrap(), options)
}

/// The words of each instruction; `-` for what the target doesn't need.
fn words(file: &str, build_args: &[(&str, &str)], target: Option<&str>) -> Vec<String> {
    let all = evaluated(file, &options(build_args, target, "linux/arm64")).unwrap();
    all.into_iter().map(|e| e.map_or("-".to_owned(), |e| e.args.join("|"))).collect()
}

fn fails(file: &str, target: Option<&str>) -> (usize, usize, String) {
    let e = evaluated(file, &options(&[], target, "linux/arm64")).unwrap_err();
    (e.line, e.column, e.what)
}

#[test]
fn args_before_from_and_in_a_stage() {
    let file = "ARG V=1 W=${V}x\nFROM a:$V AS b\nUSER $V\nARG V\nARG W=own$V\nUSER $V$W\n";
    assert_eq!(words(file, &[], None), ["V=1|W=1x", "a:1|AS|b", "", "V=1", "W=own1", "1own1"]);
    assert_eq!(words(file, &[("V", "2")], None)[1..4], ["a:2|AS|b", "", "V=2"]);
    // An ARG that nobody gives a value stays unset, also over a default of the same name.
    assert_eq!(words("FROM a\nARG X\nUSER x${X-unset}\n", &[], None)[1..], ["X", "xunset"]);
}

#[test]
fn the_last_of_arg_and_env_counts() {
    let file = "FROM a AS b\nENV X=e\nARG X=a\nUSER $X\nFROM b\nUSER $X\n";
    // The image's ENV is laid over again where another stage begins from it.
    assert_eq!(words(file, &[], None)[3..], ["a", "b", "e"]);
}

#[test]
fn an_env_sees_what_stood_before_it() {
    let file = "FROM scratch\nENV A=1 B=$A\nENV A=2 B=$A C=\"$A $B\"\nENV D $A  $B\nLABEL $A=$C\n";
    assert_eq!(words(file, &[], None)[1..], ["A|1|B|", "A|2|B|1|C|1 ", "D|2  1", "2|1 "]);
}

#[test]
fn platforms_and_the_target_are_arguments() {
    let file = "FROM --platform=$BUILDPLATFORM a AS one\nARG TARGETPLATFORM TARGETARCH TARGETVARIANT TARGETSTAGE\nFROM a\n";
    let all = evaluated(file, &options(&[], Some("ONE"), "linux/arm/v6")).unwrap();
    let args = all[1].clone().unwrap();
    assert_eq!(
        args.args,
        ["TARGETPLATFORM=linux/arm/v6", "TARGETARCH=arm", "TARGETVARIANT=v6", "TARGETSTAGE=ONE"]
    );
    assert!(args.assumed.is_empty());
    let from = all[0].clone().unwrap();
    assert_eq!(from.flags, ["--platform=linux/amd64"]);
    assert_eq!(from.assumed, ["BUILDPLATFORM"]);
    assert_eq!(all[2], None);
}

#[test]
fn only_what_the_target_needs() {
    let file = "FROM a AS one\nUSER 1\nFROM a AS two\nUSER 2\nFROM a AS three\nCOPY --from=0 x /\nFROM two\nUSER 4\n";
    assert_eq!(words(file, &[], None), ["-", "-", "a|AS|two", "2", "-", "-", "two", "4"]);
    assert_eq!(words(file, &[], Some("Three"))[..2], ["a|AS|one", "1"]);
    let mount = "FROM a AS one\nFROM a\nRUN --mount=type=bind,from=ONE,target=/m x\n";
    assert_eq!(words(mount, &[], None)[0], "a|AS|one");
}

#[test]
fn copy_and_add_with_their_files() {
    let file = "FROM a\nARG U=me V=v\nCOPY --chown=$U:${G:-g} <<E <<-'F' $V /$V/\n\"$V\" '$V' \\$V\nE\n\t$V\n\tF\n";
    let all = evaluated(file, &options(&[], None, "linux/arm64")).unwrap();
    let copy = all[2].clone().unwrap();
    assert_eq!(copy.flags, ["--chown=me:g"]);
    assert_eq!(copy.args, ["<<E", "<<-'F'", "v", "/v/"]);
    assert_eq!(copy.heredocs, ["\"v\" 'v' $V\n", "$V\n"]);
    assert_eq!(copy.assumed, ["G"]);
}

#[test]
fn where_nothing_is_replaced() {
    let file = "FROM a\nARG A=1\nRUN echo $A\nCMD [\"$A\"]\nENTRYPOINT x $A\nSHELL [\"$A\"]\nHEALTHCHECK CMD $A\nONBUILD USER $A\nMAINTAINER $A\nADD --exclude=$A x /\n";
    let all = evaluated(file, &options(&[], None, "linux/arm64")).unwrap();
    let parsed = Dockerfile::parse(file.as_bytes()).unwrap();
    for (i, e) in parsed.instructions.iter().zip(&all).skip(2) {
        let e = e.clone().unwrap();
        assert_eq!((&e.args, &e.flags), (&i.args, &i.flags));
    }
}

#[test]
fn mounts_are_replaced_field_by_field() {
    let file = "FROM a\nARG T=cache\nRUN --mount=type=$T,target=/$T,id=${N:-n} --mount=type=tmpfs,target=/t x\n";
    let all = evaluated(file, &options(&[], None, "linux/arm64")).unwrap();
    let run = all[2].clone().unwrap();
    assert_eq!(run.flags, ["--mount=type=cache,target=/cache,id=n", "--mount=type=tmpfs,target=/t"]);
    assert_eq!(run.assumed, ["N"]);
    let bad = fails("FROM a\nRUN x\nRUN --network=none --mount=type=$T,target=/x y\n", None);
    assert_eq!((bad.0, bad.1), (3, 20));
}

#[test]
fn onbuild_of_a_stage_above() {
    let file = "FROM a AS src\nFROM a AS b\nONBUILD ENV X=on Y=$X\nONBUILD COPY --from=src x /\nFROM b\nUSER $X$Y\n";
    assert_eq!(words(file, &[], None), ["a|AS|src", "a|AS|b", "ENV|X|on|Y|$X", "COPY|x|/", "b", "on"]);
    let bad = "FROM a AS b\nONBUILD NOSUCH x\nFROM b\n";
    let (line, _, what) = fails(bad, None);
    assert_eq!(line, 3);
    assert!(what.contains("line 2"), "{what}");
    assert_eq!(words(bad, &[], Some("b"))[1], "NOSUCH|x");
}

#[test]
fn the_base_image_is_not_guessed() {
    let file = "FROM debian\nENV P=/x:$PATH Q=${HOME:-/}\nUSER $P\nFROM scratch\nENV P=/x:$PATH\nUSER $P$HOME\n";
    let of = |target| evaluated(file, &options(&[], target, "linux/arm64")).unwrap();
    let all = of(None);
    assert_eq!(all[4].clone().unwrap().args, ["P", &format!("/x:{DEFAULT_PATH}")]);
    assert!(all[4].clone().unwrap().assumed.is_empty());
    let file = "FROM debian\nENV P=/x:$PATH Q=${HOME:-/}\nUSER $P\n";
    let all = evaluated(file, &options(&[], None, "linux/arm64")).unwrap();
    assert_eq!(all[1].clone().unwrap().assumed, ["HOME", "PATH"]);
    // What rests on an assumption goes on resting on it.
    assert_eq!(all[2].clone().unwrap().assumed, ["PATH"]);
}

#[test]
fn expose_is_cut_into_words() {
    let file = "FROM a\nARG P=\"80 81/udp\"\nEXPOSE $P 8000-8001\nVOLUME [\" /$P \"]\n";
    assert_eq!(words(file, &[], None)[2..], ["80|81/udp|8000-8001", "/80 81/udp"]);
}

#[test]
fn errors_have_their_place() {
    for (file, target, line, column) in [
        ("FROM ${X:?give}\n", None, 1, 6),
        ("FROM $X\n", None, 1, 6),
        ("FROM Debian\n", None, 1, 6),
        ("FROM a AS x\nFROM X\n", None, 2, 6),
        ("FROM --platform=$P a\n", None, 1, 6),
        ("FROM --platform=vax a\n", None, 1, 6),
        ("FROM a\n", Some("no"), 1, 1),
        ("FROM a\nCOPY --from=$X a /\n", None, 2, 6),
        ("FROM a\nCOPY --link --from=7 a /\n", None, 2, 13),
        ("FROM a AS one\nCOPY --from=b a /\nFROM a AS b\n", Some("one"), 2, 6),
        ("FROM a AS b\nCOPY --from=b a /\n", None, 1, 1),
        ("FROM a\nENV A=b \\\n  B=${C:?no}\n", None, 3, 5),
        ("FROM a\nWORKDIR 'x\n", None, 2, 9),
        ("FROM a\nSTOPSIGNAL $S\n", None, 2, 12),
        ("FROM a\nEXPOSE http\n", None, 2, 8),
        ("FROM a\nVOLUME $V\n", None, 2, 8),
        ("FROM a\nCOPY https://x /\n", None, 2, 6),
    ] {
        let got = fails(file, target);
        assert_eq!((got.0, got.1), (line, column), "{file:?}: {}", got.2);
    }
}

#[test]
fn what_is_not_built_is_not_checked_for_order() {
    let file = "FROM a\nCOPY --from=b a /\nFROM a AS b\n";
    assert_eq!(words(file, &[], None), ["-", "-", "a|AS|b"]);
}

#[test]
fn doubling_variables_end() {
    let mut file = "FROM a\nENV A=xxxxxxxxxxxxxxxx\n".to_owned();
    file.push_str(&"ENV A=$A$A\n".repeat(64));
    assert!(fails(&file, None).2.contains("replacing variables"));
}

#[test]
fn what_values_rest_on_is_bounded() {
    let mut file = "FROM a\nENV V0=\n".to_owned();
    for n in 1..3_000 {
        file += &format!("ENV V{n}=$U{n}$V{}\n", n - 1);
    }
    let (line, _, what) = fails(&file, None);
    assert!((500..2_000).contains(&line), "{line}");
    assert!(what.contains("bytes"), "{what}");
}

#[test]
fn a_mount_from_nothing_is_from_no_stage() {
    let file = "FROM a\nRUN --mount=type=bind,from=,target=/y x\n";
    assert!(evaluated(file, &options(&[], None, "linux/amd64")).is_ok());
}
