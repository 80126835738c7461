//! Where the values of secret params come from: not from the command line, if it can be helped.

use std::fs;

use color_eyre::Result;

use super::UserError;

/// Completes the params of a command line by those of `secret` (names of secret params): a value `@FILE` is read from the file, one that
/// is not given is taken from the variable that the program itself will get. A plain value works, with a warning.
pub fn complete<'n>(
    given: Vec<(String, String)>,
    secret: impl IntoIterator<Item = &'n str>,
) -> Result<Vec<(String, String)>> {
    let mut params = given;
    for name in secret {
        let variable = format!("STOPOVER_PARAM_{}", name.to_ascii_uppercase());
        match params.iter_mut().find(|(given, _)| given == name) {
            Some((_, value)) => match value.strip_prefix('@') {
                Some(file) => {
                    let text = fs::read_to_string(file)
                        .map_err(|error| UserError::Usage(format!("param `{name}` is to come from {file}: {error}")))?;
                    text.trim_end_matches(['\r', '\n']).clone_into(value);
                }
                None => eprintln!(
                    "warning: the value of `{name}` is secret, and a command line is shown by `ps` and kept by shells; pass it in {variable}, or as --param {name}=@FILE"
                ),
            },
            None => params.extend(std::env::var(&variable).ok().map(|value| (name.to_owned(), value))),
        }
    }
    Ok(params)
}
