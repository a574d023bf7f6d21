//! What EXPOSE and STOPSIGNAL may name.

/// Whether EXPOSE takes a word: `[ip:][hostPort:]port[-port][/proto]` (BuildKit's `parsePort`).
pub(crate) fn is_port(word: &str) -> bool {
    let mut parts = word.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let ip = parts.next().unwrap_or_default();
    let (container, protocol) = container.split_once('/').unwrap_or((container, ""));
    if !matches!(protocol.to_lowercase().as_str(), "" | "tcp" | "udp" | "sctp") {
        return false;
    }
    let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    if !ip.is_empty() && bare.parse::<std::net::IpAddr>().is_err() {
        return false;
    }
    let Some(ports) = range(container) else { return false };
    if host.is_empty() {
        return true;
    }
    range(host).is_some_and(|host| ports == 0 || ports == host)
}

/// How many ports beyond the first.
fn range(text: &str) -> Option<u16> {
    let number = |text: &str| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let minus = text.starts_with('-');
        digits.parse::<u16>().ok().filter(|n| !minus || *n == 0).filter(|_| !digits.starts_with('+'))
    };
    match text.split_once('-') {
        None => number(text).map(|_| 0),
        Some((first, last)) if first == last => number(first).map(|_| 0),
        Some((first, last)) => number(last)?.checked_sub(number(first)?),
    }
}

/// Whether a word names a signal of Linux, with or without SIG, or is a number other than 0 (moby's `signal.ParseSignal`).
pub(crate) fn is_signal(word: &str) -> bool {
    const NAMES: [&str; 36] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
        "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
        "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
    ];
    if let Ok(number) = word.parse::<i64>() {
        return number != 0;
    }
    let name = word.to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let real_time = |prefix: &str, most: u8| {
        let number = name.strip_prefix(prefix).filter(|n| !n.starts_with(['0', '+', '-']));
        number.and_then(|n| n.parse::<u8>().ok()).is_some_and(|n| (1..=most).contains(&n))
    };
    NAMES.contains(&name) || real_time("RTMIN+", 15) || real_time("RTMAX-", 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        for good in
            ["80", "0", "53/udp", "80/TCP", "8000-8010/sctp", "80:80", "127.0.0.1:80:80", "[::1]:1:2"]
        {
            assert!(is_port(good), "{good}");
        }
        for bad in ["", "x", "65536", "-1", "80/", "80/icmp", "9-8", "1-2:1-3", "x:1:2", "80 81"] {
            assert_eq!(is_port(bad), bad == "80/", "{bad}");
        }
    }

    #[test]
    fn signals() {
        for good in ["9", "SIGTERM", "term", "RTMIN+3", "SIGRTMAX-14"] {
            assert!(is_signal(good), "{good}");
        }
        for bad in ["", "0", "FOO", "SIG", "RTMIN+16", "RTMIN+0"] {
            assert!(!is_signal(bad), "{bad}");
        }
    }
}
