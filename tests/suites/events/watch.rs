//! watch.*: what could blind or alter the record.

use std::process::Command;

use blubr_tests::program::run;
use blubr_tests::require;
use serde_json::{Value, json};

use crate::programs::{compiled, results};
use crate::recording::Monitor;

#[test]
fn what_could_blind_the_record_is_told() {
    require!(Root, Compiler);
    let program = compiled("calls");
    let monitor = Monitor::start();
    let recorder = monitor.pid();
    let file = monitor.path().join("module");
    std::fs::write(&file, "no module").unwrap();
    let output = run(Command::new(&program.path).arg("watched").arg(&file).arg(recorder.to_string()));
    assert!(output.status.success());
    let r = monitor.stop();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = results(&text);
    let mine = |kind: &str| -> Vec<&Value> {
        r.of(kind).into_iter().filter(|e| e["comm"] == "calls").collect()
    };
    let bpf = mine("watch.bpf");
    assert_eq!((bpf.len(), &bpf[0]["command"]), (1, &json!("map_get_fd_by_id")));
    assert_eq!(bpf[0]["ret"], said["bpf"][0]);
    let ptrace = mine("watch.ptrace");
    let told: Vec<_> =
        ptrace.iter().map(|e| (e["request"].as_str().unwrap(), e["target"].as_i64())).collect();
    let child = Some(said["child"][0]);
    assert_eq!(told, [("attach", child), ("process_vm_writev", child)]);
    assert_eq!(
        (&ptrace[0]["ret"], &ptrace[1]["ret"]),
        (&json!(0), &json!(said["process_vm_writev"][0]))
    );
    let modules = mine("watch.module");
    assert_eq!(
        (&modules[0]["action"], &modules[0]["name"]),
        (&json!("remove"), &json!("no_such_module"))
    );
    assert_eq!(
        (&modules[1]["action"], &modules[1]["path"]),
        (&json!("load"), &json!(file.display().to_string()))
    );
    assert_eq!(
        (&modules[2]["path"], &modules[2]["ret"]),
        (&json!(null), &json!(said["init_module"][0]))
    );
    let kill = mine("watch.kill");
    // SIGURG, which does nothing.
    assert_eq!((kill.len(), &kill[0]["signal"], &kill[0]["target"]), (1, &json!(23), &json!(recorder)));
}

#[test]
fn a_socket_whose_traffic_is_not_recorded_is_told() {
    require!(Root, Compiler);
    let program = compiled("calls");
    let r = crate::recording::script(&format!("{} sockets > results", program.path.display()));
    let said = std::fs::read_to_string(r.path("results")).unwrap();
    let said = results(&said);
    let told: Vec<_> = r
        .of("watch.socket")
        .into_iter()
        .filter(|e| e["comm"] == "calls")
        .map(|e| (e["family"].clone(), e["socktype"].clone(), e["ret"].as_i64()))
        .collect();
    let told_of = |family: &str, socktype: &str, ret| (json!(family), json!(socktype), Some(ret));
    // Netlink goes to this kernel alone.
    let wanted = [
        told_of("packet", "raw", said["packet"][0]),
        told_of("77", "stream", -97),
        told_of("inet", "stream", said["sctp"][0]),
        told_of("inet6", "seqpacket", said["seqpacket"][0]),
        told_of("inet", "packet", said["old_packet"][0]),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn such_a_socket_that_a_ring_makes_is_told() {
    require!(Root, Compiler, Rings);
    let ring = compiled("ring");
    let r = crate::recording::command(Command::new(&ring.path).args(["socket", "packet", "1"]));
    let told: Vec<_> = r.of("watch.socket").into_iter().filter(|e| e["comm"] == "ring").collect();
    assert_eq!((told.len(), &told[0]["family"]), (1, &json!("packet")));
    assert_eq!(told[0]["via"], "io_uring");
}
