//! A shell's work of which each type of event comes, and what its log must say.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use blubr_log::Body;
use blubr_tests::bins;
use blubr_tests::program::{jq, stdout_of};

/// The recorder is the shell's parent.
pub const SCRIPT: &str = "mkdir workload
cd workload
echo hello > f; mv f g; ln g h; ln -s g s; chmod 0640 g; chown 1:2 g; truncate -s 10 g; touch -d 2020-01-01 g
setcap cap_net_raw=ep g; mkfifo p; rm h s p; mkdir d; rmdir d
mkdir m; mount -t tmpfs none m; umount m
unshare -m sh -ec 'mount -t tmpfs none m; mkdir m/old; pivot_root m m/old; true'
nsenter --target $$ --mount true
busybox=/blubr/busybox
$busybox chroot / true
$busybox httpd -p 127.0.0.1:8080 -h .
$busybox wget -q -O /dev/null http://127.0.0.1:8080/g
# Whom it asks for is said before anything is answered, and nobody there knows TLS.
$busybox timeout 20 openssl s_client -connect 127.0.0.1:8080 -servername build.example </dev/null || true
$busybox nslookup build.example 127.0.0.1 || true
$busybox logger 'nobody listens'
/blubr/programs/calls sockets
/blubr/programs/calls watched g $PPID
/blubr/programs/calls datagrams 9
/blubr/programs/ring mkdir made-by-a-ring
";

/// Types that have no event here.
const NOT_HERE: [&str; 1] = ["lost"];

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

/// Checks the log: whole, of this kernel, with each type, and truthful about what the kernel has to hang probes on.
pub fn check(out: &Path, release: &str, lacks: &[&str]) {
    let log = out.join("workload.ndjson");
    // blubr-filter reads all of it and checks its chain; what it passes on is then checked against its source.
    let passed = out.join("passed.ndjson");
    drop(stdout_of(bins::command("blubr-filter").arg("--type=*").arg("-o").arg(&passed).arg(&log)));
    drop(stdout_of(bins::command("blubr-filter").args(["verify", "--source"]).arg(&log).arg(&passed)));
    let digest = format!("head -n -1 '{}' | sha256sum | cut -d' ' -f1", log.display());
    let digest = blubr_tests::program::text_of(Command::new("sh").args(["-c", &digest]));
    assert_eq!(
        jq("select(.type == \"trailer\") | .sha256, .lost, .exit", &log),
        format!("{digest}\n0\n0")
    );
    assert_eq!(jq("select(.type == \"header\") | .host.kernel", &log), release);

    let told = lines(&jq("select(.type == \"trailer\") | .events | keys[]", &log));
    let types = Body::TYPES.iter().map(|event| event.name).filter(|name| !NOT_HERE.contains(name));
    let missing: Vec<_> = types.filter(|name| !told.contains(*name)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "types without an event");
    let by_ring = jq("select(.via == \"io_uring\") | .type", &log);
    assert_eq!(by_ring == "file.mkdir", !lacks.contains(&"io_uring"), "{by_ring}");

    let hooks = lines(&jq("select(.type == \"header\") | .hooks[].attach", &log));
    let tracepoints = lines(&std::fs::read_to_string(out.join("tracepoints")).unwrap());
    assert!(hooks.contains("cgroup/sock_release"), "{hooks:?}");
    for tracepoint in hooks.iter().filter_map(|hook| hook.strip_prefix("tp_btf/")) {
        assert!(
            tracepoints.contains(&format!("btf_trace_{tracepoint}")),
            "{tracepoint}: the kernel has none"
        );
    }
    let filter = "select(.type == \"header\") | .not_covered[] | select(.why | startswith(\"no tracepoint\")) | .what";
    let said = lines(&jq(filter, &log));
    assert_eq!(said, lacks.iter().map(|what| (*what).to_owned()).collect(), "{hooks:?}");
}
