//! Whose a change of a path is, and what changes explain.

use blubr_build::ProcessKey;

use super::super::below::Attributes;
use super::*;

fn hit(seq: u64, gone: bool) -> Hit {
    let by = ProcessKey { pid: 1, start: 1 };
    Hit {
        slot: Some(Slot::Step(0)),
        by,
        seq,
        since: seq,
        anew: seq,
        gone,
        given: !gone,
        taken: gone,
        expected: !gone,
        removed: gone,
        engine: false,
        foreign: false,
    }
}

fn lower(kind: Kind) -> Attributes {
    let xattrs = BTreeMap::new();
    Attributes { kind, mode: 0o755, uid: 0, gid: 0, size: 0, link: None, xattrs }
}

#[test]
fn only_events_explain() {
    let mut trails = Trails::default();
    trails.add(b"/d/made".to_vec(), hit(1, false));
    trails.add(b"/moved".to_vec(), hit(2, false));
    trails.renames.add(b"/before".to_vec(), b"/moved".to_vec(), 2);
    let mut below = Below::default();
    below.lay(b"/before/below/x".to_vec(), lower(Kind::File));
    trails.add(b"/old".to_vec(), hit(3, true));
    trails.mounts.extend([b"/proc".to_vec()]);
    trails.from_below.extend([b"/moved".to_vec()]);
    assert!(trails.explain(b"/d/made", Kind::File, 1, &Below::default()).is_some());
    assert!(trails.explain(b"/d", Kind::Dir, 1, &Below::default()).is_some());
    assert!(trails.explain(b"/d", Kind::File, 1, &Below::default()).is_none());
    assert!(trails.explain(b"/d/made/below", Kind::File, 1, &Below::default()).is_none());
    assert!(trails.explain(b"/moved/below/x", Kind::File, 1, &below).is_some());
    assert!(trails.explain(b"/moved/below/y", Kind::File, 1, &below).is_none());
    assert!(trails.explain(b"/old/x", Kind::Whiteout, 1, &Below::default()).is_some());
    assert!(trails.explain(b"/proc", Kind::Dir, 1, &Below::default()).is_some());
    assert!(trails.explain(b"/etc/passwd", Kind::File, 1, &Below::default()).is_none());
}

#[test]
fn only_what_was_taken_away_is_hidden() {
    let mut trails = Trails::default();
    trails.add(b"/etc/shadow".to_vec(), Hit { given: false, ..hit(1, false) });
    trails.add(b"/opt".to_vec(), Hit { given: false, ..hit(2, false) });
    trails.add(b"/made".to_vec(), hit(3, false));
    trails.add(b"/old".to_vec(), hit(4, true));
    trails.add(b"/anew".to_vec(), hit(5, true));
    trails.add(b"/anew".to_vec(), hit(6, false));
    trails.mounts.extend([b"/proc/sys".to_vec()]);
    for (path, kind) in [
        ("/etc/shadow", Kind::Whiteout),
        ("/opt", Kind::Opaque),
        ("/opt/k", Kind::Whiteout),
        ("/etc", Kind::Whiteout),
        ("/etc", Kind::Opaque),
        ("/made", Kind::Whiteout),
        ("/proc", Kind::Whiteout),
        ("/proc/sys", Kind::Opaque),
    ] {
        assert!(
            trails.explain(path.as_bytes(), kind, 0, &Below::default()).is_none(),
            "{path} {kind:?}"
        );
    }
    for (path, kind) in [
        ("/old", Kind::Whiteout),
        ("/old/x", Kind::Whiteout),
        ("/made", Kind::Opaque),
        ("/made/sub", Kind::Opaque),
        ("/anew", Kind::Opaque),
        ("/anew/x", Kind::Whiteout),
    ] {
        assert!(
            trails.explain(path.as_bytes(), kind, 0, &Below::default()).is_some(),
            "{path} {kind:?}"
        );
    }
}

#[test]
fn what_was_taken_away_last_explains_nothing_that_is_there() {
    let mut trails = Trails::default();
    for path in ["/w", "/d/w", "/m"] {
        trails.add(path.into(), hit(1, false));
        trails.add(path.into(), hit(2, true));
    }
    let engine = Hit { slot: None, engine: true, ..hit(4, false) };
    trails.add(b"/m".to_vec(), engine);
    let mut below = Below::default();
    below.lay(b"/c/w".to_vec(), lower(Kind::File));
    let explains =
        |trails: &Trails, path: &str| trails.explain(path.as_bytes(), Kind::File, 7, &below).is_some();
    assert!(!explains(&trails, "/w"));
    assert!(explains(&trails, "/m"), "the engine made it again");
    for (seq, later) in [(1, false), (3, true)] {
        trails.add(b"/d".to_vec(), hit(seq, false));
        assert!(!explains(&trails, "/d/w"), "its directory was made at {seq}");
        trails.renames.add(b"/c".to_vec(), b"/d".to_vec(), seq);
        trails.from_below.insert(b"/d".to_vec());
        assert_eq!(explains(&trails, "/d/w"), later, "its directory came at {seq}");
        trails.renames = Renames::default();
        trails.from_below.clear();
    }
}

#[test]
fn what_goes_with_a_directory_is_judged_by_when_it_came() {
    let mut renames = Renames::default();
    renames.add(b"/c".to_vec(), b"/d".to_vec(), 5);
    let mut trails = Trails::default();
    // Made in a directory that then takes the place of another, of which that name was taken away meanwhile.
    for (path, hit) in
        [("/c/w", hit(1, false)), ("/d/w", hit(3, true)), ("/c/v", hit(2, true)), ("/d", hit(5, false))]
    {
        trails.moved(path.into(), hit, &renames);
    }
    trails.renames = renames;
    let explains =
        |path: &str| trails.explain(path.as_bytes(), Kind::File, 7, &Below::default()).is_some();
    assert!(explains("/d/w"));
    assert!(!explains("/d/v"), "it was gone before its directory came");
}

#[test]
fn a_directory_is_explained_by_what_it_holds() {
    let mut trails = Trails::default();
    trails.add(b"/t".to_vec(), hit(1, false));
    for path in ["/t/a/x", "/t/a", "/t", "/old/x"] {
        trails.add(path.into(), hit(2, true));
    }
    let mut below = Below::default();
    let explains = |trails: &Trails, below: &Below, path: &str| {
        trails.explain(path.as_bytes(), Kind::Dir, 0, below).is_some()
    };
    for path in ["/t", "/t/a", "/old"] {
        assert!(!explains(&trails, &below, path), "{path}");
    }
    below.lay(b"/old".to_vec(), lower(Kind::Dir));
    below.lay(b"/t".to_vec(), lower(Kind::Dir));
    assert!(explains(&trails, &below, "/old") && !explains(&trails, &below, "/t"));
    trails.add(b"/t/a/b/c".to_vec(), Hit { slot: None, engine: true, ..hit(3, false) });
    assert!(explains(&trails, &below, "/t/a") && explains(&trails, &below, "/t/a/b"));
}

#[test]
fn a_mount_point_is_empty_and_lies_in_directories() {
    let mut trails = Trails::default();
    trails.mounts.extend([b"/etc/hosts".to_vec()]);
    let stub = |trails: &Trails, path: &str, kind, size| {
        trails.explain(path.as_bytes(), kind, size, &Below::default()).is_some()
    };
    for _ in 0..2 {
        assert!(stub(&trails, "/etc/hosts", Kind::File, 0));
        assert!(stub(&trails, "/etc/hosts", Kind::Dir, 0));
        assert!(!stub(&trails, "/etc/hosts", Kind::File, 7));
        assert!(!stub(&trails, "/etc/hosts", Kind::Symlink, 0));
        assert!(stub(&trails, "/etc", Kind::Dir, 0));
        assert!(!stub(&trails, "/etc", Kind::File, 0) && !stub(&trails, "/etc", Kind::Symlink, 0));
        // The runtime makes them; a second time with that seen.
        for path in ["/etc", "/etc/hosts"] {
            trails.add(path.into(), Hit { slot: None, engine: true, ..hit(1, false) });
        }
    }
    trails.add(b"/etc/hosts".to_vec(), hit(2, false));
    assert!(stub(&trails, "/etc/hosts", Kind::File, 7), "a step wrote it");
}

#[test]
fn what_a_stranger_wrote_is_his_until_nothing_is_left_of_it() {
    let stranger = |seq| Hit { slot: None, foreign: true, anew: 0, ..hit(seq, false) };
    for (own, is_foreign) in [
        (Hit { anew: 1, ..hit(9, false) }, true),
        (Hit { anew: 6, ..hit(9, false) }, false),
        (hit(3, false), true),
        (hit(9, true), false),
        (Hit { anew: 1, ..hit(9, true) }, false),
    ] {
        for turned in [false, true] {
            let mut trails = Trails::default();
            let mut both = [own, stranger(5)];
            if turned {
                both.reverse();
            }
            both.into_iter().for_each(|hit| trails.add(b"/w".to_vec(), hit));
            assert_eq!(trails.hits[b"/w".as_slice()].foreign, is_foreign, "{own:?} {turned}");
        }
    }
}

#[test]
fn what_a_stranger_wrote_goes_along_with_its_name() {
    let mut renames = Renames::default();
    renames.add(b"/t".to_vec(), b"/w".to_vec(), 7);
    let stranger = Hit { slot: None, foreign: true, anew: 0, ..hit(5, false) };
    for (made, is_foreign) in [(1, true), (6, false)] {
        let mut trails = Trails::default();
        trails.add(b"/t".to_vec(), Hit { anew: made, ..hit(7, true) });
        trails.add(b"/w".to_vec(), hit(7, false));
        trails.renamed(b"/t", stranger, &renames);
        assert_eq!(trails.hits[b"/w".as_slice()].foreign, is_foreign, "{made}");
    }
}

#[test]
fn what_lies_below_and_was_taken_away_last_is_removed() {
    let mut trails = Trails::default();
    let mut below = Below::default();
    for (path, last) in
        [("/d/x", 1), ("/d", 2), ("/f", 3), ("/made/x", 4), ("/at", 5), ("/back/x", 6), ("/own", 7)]
    {
        trails.add(path.into(), hit(last, true));
        if path != "/own" {
            below.lay(path.into(), lower(Kind::File));
        }
    }
    for (path, last) in [("/made", 8), ("/f", 9), ("/back", 10)] {
        trails.add(path.into(), hit(last, false));
    }
    trails.mounts.extend([b"/at".to_vec()]);
    trails.renames.add(b"/other".to_vec(), b"/back".to_vec(), 10);
    below.lay(b"/other/x".to_vec(), lower(Kind::File));
    let removed: Vec<Vec<u8>> = trails.removed(&below).into_iter().map(|(path, _)| path).collect();
    assert_eq!(removed, [b"/d".as_slice(), b"/d/x", b"/made/x"]);
}

#[test]
fn what_went_with_its_directory_is_not_expected() {
    let mut trails = Trails::default();
    trails.add(b"/t/x".to_vec(), hit(1, false));
    trails.add(b"/t".to_vec(), hit(2, true));
    trails.add(b"/kept".to_vec(), hit(3, false));
    let expected: Vec<&[u8]> = trails.expected().map(|(path, _)| path).collect();
    assert_eq!(expected, [b"/kept"]);
}
