//! Whom a step says that it reaches: the names of HTTP and TLS in the attestation of a build.

use std::path::Path;

use blubr_tests::bins;
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::program::{jq, stdout_of, text_of};
use blubr_tests::record::record;
use blubr_tests::require;
use blubr_tests::workload::Context;

use crate::stage::{Web, folder};

/// Two names of one address and port. wget hands its connection to another program for TLS.
const DOCKERFILE: &str = "FROM scratch
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
ARG PORT
RUN wget -q -O /feed http://http.example:$PORT/feed.json && wget -q -O /more http://more.example:$PORT/feed.json
RUN wget -q -O /none https://tls.example:$PORT/feed.json; touch /tried
";

fn statement(builder: Builder, context: &Context, folder: &Path) -> std::path::PathBuf {
    let engine = Engine::shared();
    let port = format!("PORT={}", Web::shared().port);
    let mut flags = vec!["--build-arg", &port];
    for host in ["http.example:127.0.0.1", "more.example:127.0.0.1", "tls.example:127.0.0.1"] {
        flags.extend(["--add-host", host]);
    }
    let build = engine.build_command(builder, context.path(), "blubr-names", &flags);
    let log = folder.join(format!("{builder:?}.ndjson"));
    drop(record(&log, &build));
    let statement = folder.join(format!("{builder:?}.json"));
    let mut attest = bins::command("blubr-attest");
    attest.env("DOCKER_HOST", &engine.host);
    attest.arg("--dockerfile").arg(context.file("Dockerfile"));
    attest.args(["--image", "docker:blubr-names", "-o"]).arg(&statement).arg(&log);
    drop(stdout_of(&mut attest));
    statement
}

#[test]
fn connections_have_the_names_that_their_programs_asked_for() {
    require!(Root, Docker);
    let context = Context::of_dockerfile(DOCKERFILE);
    let folder = folder("names");
    for builder in [Builder::Classic, Builder::BuildKit] {
        let statement = statement(builder, &context, &folder);
        let of_line = |line: u32| {
            let filter = format!(
                ".predicate.blubr_build.steps[] | select(.lines[0] == {line}) | .network[] | select(.hostname) \
                 | \"\\(.hostname) \\(.hostnameFrom) \\(.ip) \\(.direction) \\(.count)\""
            );
            jq(&filter, &statement)
        };
        assert_eq!(
            of_line(5),
            "http.example http 127.0.0.1 out 1\nmore.example http 127.0.0.1 out 1",
            "{builder:?}"
        );
        assert_eq!(of_line(6), "tls.example sni 127.0.0.1 out 1", "{builder:?}");
        let processes = "[.predicate.monitorLog.network[] | select(.protocol == \"tcp\") | .invokingProcess.id] | unique | length";
        // Three that connect, and the one that speaks TLS for the third.
        assert_eq!(jq(processes, &statement), "4", "{builder:?}");
        let shown = text_of(bins::command("blubr-attest").arg("show").arg(&statement));
        assert!(shown.contains(" http.example (its word in HTTP) tcp"), "{shown}");
        assert!(shown.contains(" tls.example (its word in TLS) tcp"), "{shown}");
    }
}
