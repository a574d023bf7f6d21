//! What an attestation says of the network where the log does not say where something went.

use blubr_tests::bins;
use blubr_tests::program::{jq, stdout_of};
use blubr_tests::supervise::process_folder;

use super::log::{Log, STEP};

/// `no-outside-network` of a build in which these sockets ended.
fn check(closes: &[&str]) -> String {
    let folder = tempfile::Builder::new().prefix("network.").tempdir_in(process_folder()).unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut log = Log::new(&file("log.ndjson"));
    log.begin();
    for close in closes {
        log.add(STEP, "net.close", close);
    }
    log.end();
    std::fs::write(file("Dockerfile"), "FROM base\nRUN make\n").unwrap();
    let mut attest = bins::command("blubr-attest");
    attest.args(["--build=1", "--dockerfile"]).arg(file("Dockerfile"));
    drop(stdout_of(attest.arg("-o").arg(file("out.json")).arg(file("log.ndjson"))));
    let check = ".predicate.blubr_build.checks[] | select(.id == \"no-outside-network\")";
    jq(&format!("{check} | \"\\(.result): \\(.evidence | join(\"; \"))\""), &file("out.json"))
}

#[test]
fn what_a_datagram_socket_sent_to_where_no_event_says_may_have_gone_outside() {
    let sent = r#""proto":"udp","family":"inet","sport":5000,"bytes_sent":16,"bytes_received":0"#;
    let uncounted = r#""proto":"253","family":"inet""#;
    let silent = r#""proto":"udp","family":"inet","sport":5001,"bytes_sent":0,"bytes_received":9"#;
    let passes = "pass: every step was seen, nothing was lost, and no connection was recorded";
    assert_eq!(check(&[silent]), passes);
    let says = check(&[silent, sent]);
    let seq = says.strip_prefix(
        "unknown: 1 datagram or raw socket sent, or may have sent, to where its net.close does not say: seq ",
    );
    let seq: u64 = seq.unwrap_or_else(|| panic!("{says}")).parse().unwrap();
    let says = check(&[uncounted, sent]);
    let both = format!(
        "unknown: 2 datagram or raw sockets sent, or may have sent, to where their net.close does not say: seq {}, {seq}",
        seq - 1
    );
    assert_eq!(says, both);
}
