//! What newer buildah writes behind the instruction in a line of history: the options that its cache must tell apart.
//!
//! buildah's `buildMetadata` (imagebuildah/stage_executor.go) appends `|<name>=<value>` for each, behind COPY and ADD with spaces
//! between. The annotations that it appends too, to the last line, have no such form, and stay.

/// A line without these marks.
pub(crate) fn without_marks(line: &str) -> &str {
    let mut line = line;
    while let Some((before, mark)) = line.rsplit_once('|') {
        if !is_mark(mark.trim_end()) {
            break;
        }
        line = before;
    }
    line
}

fn is_mark(mark: &str) -> bool {
    let Some((name, value)) = mark.split_once('=') else { return false };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    let is_time = |value: &str| {
        let digits = value.strip_prefix('-').unwrap_or(value);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    match name {
        // --timestamp, --source-date-epoch with --rewrite-timestamp
        "force-mtime" | "clamp-mtime" => is_time(value),
        "inheritLabels" | "inheritAnnotations" => value == "false",
        "unsetLabel" | "unsetAnnotation" => !value.is_empty() && value.chars().all(is_plain),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_buildah_are_no_part_of_the_instruction() {
        for (line, wanted) in [
            ("/bin/sh -c make|force-mtime=0", "/bin/sh -c make"),
            ("/bin/sh -c make|inheritLabels=false|clamp-mtime=1000000000", "/bin/sh -c make"),
            ("/bin/sh -c make |unsetLabel=org.x/y-z_1|unsetAnnotation=a", "/bin/sh -c make "),
            (
                "/bin/sh -c #(nop) COPY file:07 in /b     |force-mtime=-1 ",
                "/bin/sh -c #(nop) COPY file:07 in /b     ",
            ),
            ("/bin/sh -c #(nop) WORKDIR /w|force-mtime=0", "/bin/sh -c #(nop) WORKDIR /w"),
            ("|1 A=b /bin/sh -c make|force-mtime=0", "|1 A=b /bin/sh -c make"),
        ] {
            assert_eq!(without_marks(line), wanted, "{line}");
        }
    }

    #[test]
    fn what_a_command_does_behind_a_bar_is_the_command() {
        for line in [
            "",
            "|",
            "|1 A=b",
            "/bin/sh -c make|cat",
            "/bin/sh -c make|force-mtime=",
            "/bin/sh -c make|force-mtime=-",
            "/bin/sh -c make|force-mtime=0;evil",
            "/bin/sh -c make|force-mtime=0 evil",
            "/bin/sh -c make|unsetLabel=x;evil",
            "/bin/sh -c make|unsetLabel=$(evil)",
            "/bin/sh -c make|unsetLabel=",
            "/bin/sh -c make|inheritLabels=true",
            "RUN /bin/sh -c make|force-mtime=0 # buildkit",
        ] {
            assert_eq!(without_marks(line), line);
        }
    }
}
