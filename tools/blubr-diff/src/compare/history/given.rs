//! Build arguments that the recorded command gave.

/// Names and values of `--build-arg NAME=VALUE` and `--build-arg=NAME=VALUE`, in the command's order. One without a value
/// came from the client's environment, which no record has.
pub fn by_command(argv: &[String]) -> Vec<(String, String)> {
    let mut given = Vec::new();
    let mut words = argv.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--build-arg") {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        given.extend(value.and_then(|value| value.split_once('=')));
    }
    given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_known_and_names_without_values_left_out() {
        let argv = "docker build --build-arg A=1 --build-arg=B=x=y --build-arg C --build-args D=2 . --build-arg";
        let argv: Vec<String> = argv.split(' ').map(str::to_owned).collect();
        let wanted = [("A", "1"), ("B", "x=y")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(by_command(&argv), wanted);
    }
}
