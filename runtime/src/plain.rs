//! What is wrong with a request, in words for its client: serde's are for whoever wrote this program.

use axum::extract::path::ErrorKind;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};

/// What is wrong with a body that should be JSON.
pub(crate) fn body(rejection: &JsonRejection) -> String {
    let text = rejection.body_text();
    match rejection {
        JsonRejection::JsonDataError(_) => {
            format!("the body is not as it should be: {}", plain(cause(&text)))
        }
        JsonRejection::JsonSyntaxError(_) => format!("the body is not JSON: {}", cause(&text)),
        _ => text,
    }
}

/// What is wrong with JSON that was read already.
pub(crate) fn data(error: &serde_json::Error) -> String {
    let text = error.to_string();
    format!("the body is not as it should be: {}", plain(&text))
}

/// What is wrong with a query.
pub(crate) fn query(rejection: &QueryRejection) -> String {
    let text = rejection.body_text();
    let plain = plain(cause(&text));
    format!("the query is not as it should be: {plain}")
}

/// What is wrong with what a path names.
pub(crate) fn path(rejection: &PathRejection) -> String {
    match rejection {
        PathRejection::FailedToDeserializePathParams(fault) => match fault.kind() {
            ErrorKind::ParseError { value, .. }
            | ErrorKind::ParseErrorAtKey { value, .. }
            | ErrorKind::ParseErrorAtIndex { value, .. } => {
                format!("`{value}` in the path must be a whole number")
            }
            _ => "what the path names is no text".to_owned(),
        },
        _ => rejection.body_text(),
    }
}

/// Without what the framework was about to do.
fn cause(text: &str) -> &str {
    text.split_once(": ").map_or(text, |(_, cause)| cause)
}

/// With the words of JSON in place of those of Rust.
fn plain(text: &str) -> String {
    let text = text.replace("unknown field", "there is no member");
    let text = text.replace("missing field", "it lacks the member");
    let text = text.replace(
        "invalid digit found in string",
        "a whole number belongs there",
    );
    // What is quoted of the client stands before what was expected.
    let Some((before, wanted)) = text.rsplit_once("expected ") else {
        return text;
    };
    let (wanted, place) = match wanted.find(" at line ") {
        Some(at) => wanted.split_at(at),
        None => (wanted, ""),
    };
    let wanted = match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    format!("{before}expected {wanted}{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_of_how_this_program_is_written() {
        for (text, wanted) in [
            (
                "limit: invalid type: string \"240\", expected u64 at line 1 column 20",
                "limit: invalid type: string \"240\", expected a whole number, 0 or more at line 1 column 20",
            ),
            (
                "invalid length 0, expected struct Wish with 6 elements at line 1 column 2",
                "invalid length 0, expected an object at line 1 column 2",
            ),
            (
                "a: invalid type: string \"expected u64\", expected a sequence",
                "a: invalid type: string \"expected u64\", expected a list",
            ),
            (
                "unknown field `user`, expected `next` or `limit`",
                "there is no member `user`, expected `next` or `limit`",
            ),
            (
                "missing field `video_id` at line 1 column 2",
                "it lacks the member `video_id` at line 1 column 2",
            ),
            ("EOF while parsing", "EOF while parsing"),
        ] {
            assert_eq!(plain(text), wanted);
        }
    }
}
