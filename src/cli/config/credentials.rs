//! What no flag may carry: TURN credentials, from the environment or from keys at the top of the configuration.

use rejoin::options::{Origin, Secret, TurnCredentials, TurnSource};
use toml::Value;

const USERNAME: &str = "turn-username";
const PASSWORD: &str = "turn-password";
const SECRET: &str = "turn-secret";
const COMMAND: &str = "turn-credentials-command";

/// Every key, and whether what it holds is a secret.
const KEYS: [(&str, bool); 4] =
    [(USERNAME, false), (PASSWORD, true), (SECRET, true), (COMMAND, false)];

/// Names of the variables that hold secrets.
pub(in crate::cli) fn secret_variables() -> impl Iterator<Item = String> {
    KEYS.into_iter().filter(|(_, is_secret)| *is_secret).map(|(key, _)| name(key))
}

/// The variable of a key.
fn name(key: &str) -> String {
    format!("REJOIN_{}", key.replace('-', "_").to_uppercase())
}

/// What the configuration said.
#[derive(Default)]
pub(super) struct Words {
    username: Option<String>,
    password: Option<String>,
    secret: Option<String>,
    command: Option<Vec<String>>,
}

impl Words {
    pub(super) fn takes(&self, key: &str) -> bool {
        KEYS.iter().any(|(known, _)| *known == key)
    }

    pub(super) fn set(&mut self, key: &str, value: Value) -> Result<(), String> {
        let place = match key {
            COMMAND => {
                self.command = Some(command(value).ok_or_else(|| {
                    format!("`{key}`: expected a program and its arguments, as a text or a list of texts")
                })?);
                return Ok(());
            }
            USERNAME => &mut self.username,
            PASSWORD => &mut self.password,
            _ => &mut self.secret,
        };
        let Value::String(text) = value else {
            return Err(format!("`{key}`: expected a text"));
        };
        *place = Some(text);
        Ok(())
    }

    /// The environment beats the configuration, name by name; of several sources in the same place, the command comes
    /// before the secret, and both before what is fixed.
    pub(super) fn source(
        self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<TurnSource, String> {
        let variable = |key: &str| environment(&name(key));
        let split = |text: String| text.split_whitespace().map(str::to_owned).collect();
        let given = Self {
            username: variable(USERNAME),
            password: variable(PASSWORD),
            secret: variable(SECRET),
            command: variable(COMMAND).map(split),
        };
        let origin = if given.username.is_some() || given.password.is_some() {
            Origin::Environment
        } else {
            Origin::Configuration
        };
        let fixed = match (given.username.or(self.username), given.password.or(self.password)) {
            (Some(username), Some(password)) => {
                let credentials = TurnCredentials { username, password: Secret::new(password) };
                Some(TurnSource::Fixed { credentials, origin })
            }
            (None, None) => None,
            (Some(_), None) => return Err("a TURN user name without a password".to_owned()),
            (None, Some(_)) => return Err("a TURN password without a user name".to_owned()),
        };
        let command = |words: Option<Vec<String>>| {
            words.filter(|words| !words.is_empty()).map(TurnSource::Command)
        };
        let secret =
            |text: Option<String>| text.map(|text| TurnSource::SharedSecret(Secret::new(text)));
        let (from_environment, from_file) = match origin {
            Origin::Environment => (fixed, None),
            Origin::Configuration => (None, fixed),
        };
        Ok(command(given.command)
            .or_else(|| secret(given.secret))
            .or(from_environment)
            .or_else(|| command(self.command))
            .or_else(|| secret(self.secret))
            .or(from_file)
            .unwrap_or_default())
    }
}

/// A list is taken as it is; a text is cut at its spaces, without a shell's quotes.
fn command(value: Value) -> Option<Vec<String>> {
    let words: Vec<String> = match value {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Array(values) => {
            let word = |value: Value| value.as_str().map(str::to_owned);
            values.into_iter().map(word).collect::<Option<_>>()?
        }
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Table(_) => return None,
    };
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(file: &str, environment: &[(&str, &str)]) -> Result<TurnSource, String> {
        let mut words = Words::default();
        for (key, value) in file.parse::<toml::Table>().unwrap() {
            words.set(&key, value)?;
        }
        words.source(|name| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn environment_beats_configuration_and_what_can_be_asked_again_beats_what_is_fixed() {
        let file = "turn-username = 'a'\nturn-password = 'b'\nturn-secret = 's'";
        assert_eq!(source(file, &[]), Ok(TurnSource::SharedSecret(Secret::new("s".to_owned()))));
        let fixed = [("REJOIN_TURN_USERNAME", "u"), ("REJOIN_TURN_PASSWORD", "p")];
        let Ok(TurnSource::Fixed { credentials, origin }) = source(file, &fixed) else {
            panic!("not the environment's");
        };
        assert_eq!((credentials.username.as_str(), origin), ("u", Origin::Environment));
        let command = [("REJOIN_TURN_CREDENTIALS_COMMAND", " give  me ")];
        let words = vec!["give".to_owned(), "me".to_owned()];
        assert_eq!(source(file, &command), Ok(TurnSource::Command(words)));
        assert_eq!(source("", &[]), Ok(TurnSource::None));
    }

    #[test]
    fn a_list_keeps_its_words() {
        let words = vec!["sh".to_owned(), "-c".to_owned(), "echo a; echo b".to_owned()];
        let file = "turn-credentials-command = ['sh', '-c', 'echo a; echo b']";
        assert_eq!(source(file, &[]), Ok(TurnSource::Command(words)));
        for wrong in
            ["turn-credentials-command = [1]", "turn-credentials-command = ''", "turn-secret = 1"]
        {
            assert!(source(wrong, &[]).is_err(), "{wrong}");
        }
    }
}
