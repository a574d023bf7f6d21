//! `--generate WHAT`: manuals and completions out of the flags themselves.

use std::io::Write as _;

use clap_complete::Shell;

use crate::exit::Exit;
use crate::failure::{Failure, STDOUT};

/// Prints `options` (the OPTIONS section of the manual, roff), `man` (a whole page), or the completions of
/// `bash`, `zsh` or `fish`.
pub(crate) fn print(mut command: clap::Command, what: &str) -> Result<Exit, Failure> {
    let name = command.get_name().to_owned();
    command = command.bin_name(&name);
    command.build();
    let mut out = Vec::new();
    match what {
        "options" => sections(&command, &mut out)?,
        "man" => roff(&mut out, |page, out| page.render(out), &command)?,
        "bash" => clap_complete::generate(Shell::Bash, &mut command, name, &mut out),
        "zsh" => clap_complete::generate(Shell::Zsh, &mut command, name, &mut out),
        "fish" => clap_complete::generate(Shell::Fish, &mut command, name, &mut out),
        _ => {
            let what = format!("cannot generate `{what}`");
            return Err(Failure::new(what).advise("options, man, bash, zsh or fish"));
        }
    }
    std::io::stdout().write_all(&out).map_err(|e| Failure::io(STDOUT, &e))?;
    Ok(Exit::Done)
}

/// The options of the command itself, then those of each subcommand.
fn sections(command: &clap::Command, out: &mut Vec<u8>) -> Result<(), Failure> {
    roff(out, |page, out| page.render_options_section(out), command)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let title = format!(".SS \"{} {}\"\n", command.get_name(), sub.get_name());
        out.extend_from_slice(title.as_bytes());
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        out.extend_from_slice(format!("{}.\n", about.trim_end_matches('.')).as_bytes());
        let mut body = Vec::new();
        roff(&mut body, |page, out| page.render_options_section(out), sub)?;
        let text = String::from_utf8_lossy(&body);
        for line in text.lines().filter(|line| !line.starts_with(".SH") && !line.starts_with(".ie")) {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
    }
    Ok(())
}

fn roff(
    out: &mut Vec<u8>,
    render: impl Fn(&clap_mangen::Man, &mut dyn std::io::Write) -> std::io::Result<()>,
    command: &clap::Command,
) -> Result<(), Failure> {
    let page = clap_mangen::Man::new(command.clone());
    render(&page, out).map_err(|e| Failure::io("the manual", &e))
}
