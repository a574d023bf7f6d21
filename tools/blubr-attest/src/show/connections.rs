//! The page's connections: who was reached, over what, and which program did it.

use blubr_attestation::detail::Table;
use blubr_attestation::trace::{Direction, HostnameFrom, Network};
use blubr_log::event::{goes_on, may_have_reached};

use super::page::Page;

impl Page<'_> {
    pub(super) fn connections(&mut self, network: &[Network]) {
        self.title("Connections");
        if let Some(detail) = self.elsewhere {
            let count = detail.annotations.tables.get(Table::Network.name()).copied().unwrap_or(0);
            self.line(format!("  {count}: in {}", detail.name));
            return;
        }
        if network.is_empty() {
            self.line("  none recorded");
        }
        for one in network {
            let step = one.step.as_deref().map_or("no step".to_owned(), |step| self.lines_of(step));
            self.line(format!("  {step:<11} {}", connection(one)));
        }
    }

    fn lines_of(&self, id: &str) -> String {
        let step = self.build.steps.iter().find(|step| step.id == id);
        match step.and_then(|step| step.lines) {
            Some([first, _]) => format!("line {first}"),
            None => id.to_owned(),
        }
    }
}

/// The other side's name, and whose word it is.
fn other_side(one: &Network) -> String {
    let Some(name) = &one.hostname else { return String::new() };
    let from = match one.hostname_from {
        Some(HostnameFrom::Sni) => " (its word in TLS)",
        Some(HostnameFrom::Http) => " (its word in HTTP)",
        Some(HostnameFrom::Dns) | None => "",
    };
    let lookup = one.lookup.as_ref().map_or(String::new(), |lookup| format!(" (looked up as {lookup})"));
    format!(" {name}{from}{lookup}")
}

/// What is said of one connection or look-up.
pub(super) fn connection(one: &Network) -> String {
    let name = other_side(one);
    let program = one.invoking_process.exe.as_deref().unwrap_or(&one.invoking_process.comm);
    let place = if one.loopback { ", this host itself" } else { "" };
    let bytes = match (one.bytes_sent, one.bytes_received) {
        (Some(sent), Some(received)) => format!(", {sent} bytes out, {received} in"),
        _ => String::new(),
    };
    let times = if one.count > 1 { format!(", {} times", one.count) } else { String::new() };
    let failed = if !may_have_reached(one.ret) {
        format!(", failed (errno {})", -one.ret)
    } else {
        String::new()
    };
    if one.protocol == "dns" {
        return format!("looked up{name} at {}{times} ({program})", one.ip);
    }
    let ip = if one.ip.contains(':') { format!("[{}]", one.ip) } else { one.ip.clone() };
    // Who doesn't wait is told that the connection is begun; that bytes went over it says that it was made.
    let moved = [one.bytes_sent, one.bytes_received].iter().any(|bytes| bytes.is_some_and(|n| n > 0));
    let reached = match one.direction {
        Direction::Out if goes_on(one.ret) && !moved => {
            format!("began to connect to {ip}:{}", one.port)
        }
        Direction::Out => format!("connected to {ip}:{}", one.port),
        // The port is the one that was asked for, our own.
        Direction::In => format!("was reached at port {} from {ip}", one.port),
    };
    format!("{reached}{name} {}{place}{bytes}{times}{failed} ({program})", one.protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_reached_and_by_whom_is_told_apart_from_who_was_only_asked() {
        let said = |direction, ip: &str| {
            let ip = ip.to_owned();
            let protocol = "tcp".to_owned();
            connection(&Network { ip, port: 80, protocol, direction, count: 2, ..Network::default() })
        };
        let begun = Network { ip: "::1".to_owned(), port: 80, ret: -115, ..Network::default() };
        assert!(connection(&begun).starts_with("began to connect to [::1]:80 "));
        let made = Network { bytes_sent: Some(1), bytes_received: Some(0), ..begun };
        assert!(connection(&made).starts_with("connected to [::1]:80 , 1 bytes out, 0 in"));
        assert_eq!(said(Direction::Out, "::1"), "connected to [::1]:80 tcp, 2 times ()");
        assert_eq!(
            said(Direction::In, "10.0.0.9"),
            "was reached at port 80 from 10.0.0.9 tcp, 2 times ()"
        );
    }
}
