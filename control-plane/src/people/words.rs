//! What clients write of themselves, as it is kept.

use runtime::problem::Problem;

/// The longest email address, in bytes (RFC 5321 §4.5.3.1.3).
const LONGEST_EMAIL: usize = 254;
/// The longest name, in characters.
const LONGEST_NAME: usize = 100;
/// The shortest password, in characters.
const SHORTEST_PASSWORD: usize = 10;
/// The longest password, in bytes.
const LONGEST_PASSWORD: usize = 512;

/// An email address in the one way that it is compared: without blanks around it, in lower case.
pub(super) fn email(text: &str) -> Result<String, Problem> {
    let text = text.trim().to_lowercase();
    let sound = text.len() <= LONGEST_EMAIL
        && text
            .rsplit_once('@')
            .is_some_and(|(who, at)| !who.is_empty() && !at.is_empty())
        && !text
            .chars()
            .any(|one| one.is_whitespace() || one.is_control());
    if sound {
        Ok(text)
    } else {
        Err(Problem::bad_request(
            "email must be an email address of at most 254 bytes",
        ))
    }
}

/// A name: of a person, a key, a channel.
pub(super) fn name(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > LONGEST_NAME || text.chars().any(char::is_control)
    {
        return Err(Problem::bad_request(
            "name must be 1 to 100 characters, none of them a control character",
        ));
    }
    Ok(text.to_owned())
}

/// A password that is to be.
pub(super) fn new_password(text: String) -> Result<String, Problem> {
    if text.chars().count() < SHORTEST_PASSWORD || text.len() > LONGEST_PASSWORD {
        return Err(Problem::bad_request(
            "password must be at least 10 characters and at most 512 bytes",
        ));
    }
    Ok(text)
}

/// A password that is shown: none is longer.
pub(super) fn password(text: String) -> Result<String, Problem> {
    if text.len() > LONGEST_PASSWORD {
        return Err(Problem::bad_request("password must be at most 512 bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_address_is_written_in_one_way() {
        assert_eq!(email(" Ann@Example.COM ").unwrap(), "ann@example.com");
        assert_eq!(email("ärger@example.com").unwrap(), "ärger@example.com");
        let long = format!("{}@x", "a".repeat(253));
        for bad in ["", "ann", "@x", "ann@", "a b@x", "a\0@x", "a\n@x", &long] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_and_passwords_are_bounded() {
        assert_eq!(name("  Ann  ").unwrap(), "Ann");
        for bad in ["", " ", "a\0", "a\u{7f}", &"x".repeat(101)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert!(new_password("ten chars!".to_owned()).is_ok());
        assert!(new_password("nine char".to_owned()).is_err());
        assert!(new_password("x".repeat(513)).is_err());
        assert!(password("short".to_owned()).is_ok());
        assert!(password("x".repeat(513)).is_err());
    }
}
