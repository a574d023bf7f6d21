//! 32-bit programs: their calls have other numbers, other registers and other structs, and are the same events.

use std::process::Command;

use blubr_tests::program::text_of;
use blubr_tests::require;
use serde_json::{Value, json};

use crate::programs::assembled;
use crate::recording::command;

#[test]
fn the_calls_of_a_32_bit_program_are_told() {
    require!(Root, I386);
    let program = assembled("i386");
    let r = command(&Command::new(&program.path));
    let comm = |e: &&&Value| e["comm"] == "i386";
    let one = |kind: &str, key: &str, value: Value| -> &Value {
        let found: Vec<_> = r.of(kind).into_iter().filter(|e| comm(&e) && e[key] == value).collect();
        assert_eq!(found.len(), 1, "{kind} {key} {value}: {found:#?}");
        found[0]
    };
    let opens: Vec<_> = r.of("file.open").into_iter().filter(|e| comm(&e)).collect();
    assert_eq!(opens.len(), 3, "{opens:#?}");
    assert_eq!(
        (&opens[0]["path"], &opens[0]["mode"], &opens[0]["create"]),
        (&json!(r.path("narrow")), &json!("w"), &json!(true))
    );
    assert_eq!((&opens[1]["path"], &opens[1]["size"]), (&json!(r.path("moved")), &json!(5)));
    assert_eq!((&opens[2]["path"], &opens[2]["ret"]), (&json!(r.path("absent/program")), &json!(-2)));
    assert_eq!(one("file.close", "path", json!(r.path("narrow")))["size"], 4096);
    assert_eq!(one("file.mkdir", "path", json!(r.path("folder")))["mode"], "0750");
    assert_eq!(one("file.rename", "path", json!(r.path("narrow")))["to"], r.path("moved"));
    assert_eq!(one("file.link", "path", json!(r.path("moved")))["to"], r.path("link"));
    assert_eq!(one("file.chmod", "path", json!(r.path("moved")))["mode"], "0604");
    // 0xffff of a 16-bit call leaves the owner as it is.
    let chown = one("file.chown", "path", json!(r.path("moved")));
    assert_eq!((chown.get("owner"), &chown["group"]), (None, &json!(12)));
    let sizes: Vec<_> =
        r.of("file.truncate").into_iter().filter(|e| comm(&e)).map(|e| &e["size"]).collect();
    assert_eq!(sizes, [&json!(4096), &json!(0x1_0000_0005_u64), &json!(5)]);
    let utimes = one("file.utimes", "path", json!(r.path("moved")));
    assert_eq!(utimes["atime"], "2001-09-09T01:46:40.001500000Z");
    assert_eq!(utimes["mtime"], "2001-09-09T01:46:41.002500000Z");
    let attribute = one("file.setxattr", "path", json!(r.path("moved")));
    assert_eq!((&attribute["name"], &attribute["value"]), (&json!("user.narrow"), &json!("v")));
    one("file.unlink", "path", json!(r.path("link")));
    assert_eq!(one("file.unlink", "path", json!(r.path("folder")))["directory"], true);
    let exec = one("process.exec", "exe", json!(r.path("absent/program")));
    assert_eq!(exec["argv"], json!(["absent/program", "one", "two words"]));
    assert_eq!(exec["ret"], -2);
    // One by socketcall, one by a number of its own.
    let connects: Vec<_> = r.of("net.connect").into_iter().filter(|e| comm(&e)).collect();
    assert_eq!(connects.len(), 2);
    for connect in connects {
        assert_eq!(
            (&connect["daddr"], &connect["dport"], &connect["ret"]),
            (&json!("127.0.0.1"), &json!(1), &json!(-111))
        );
    }
    assert_eq!(one("net.send", "dport", json!(9))["daddr"], "127.0.0.1");
    // What the file system holds afterwards.
    let stat = text_of(Command::new("stat").args(["-c", "%a %g %s %Y"]).arg(r.path("moved")));
    assert_eq!(stat, "604 12 5 1000000001");
    for gone in ["narrow", "link", "folder"] {
        assert!(!std::path::Path::new(&r.path(gone)).exists(), "{gone}");
    }
}
