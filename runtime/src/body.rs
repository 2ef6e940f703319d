//! Bodies that are objects: what is derived takes a list for one.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::plain;
use crate::problem::Problem;

/// Reads a body that is an object.
///
/// # Errors
/// A refusal of what is none, or is not as it should be.
pub fn object<T: DeserializeOwned>(body: Result<Json<Value>, JsonRejection>) -> Result<T, Problem> {
    let Json(body) = body?;
    if !body.is_object() {
        return Err(Problem::bad_request("the body must be an object"));
    }
    serde_json::from_value(body).map_err(|error| Problem::bad_request(plain::data(&error)))
}

/// The same of a body that may be left out, or be `null`.
///
/// # Errors
/// As [`object`].
pub fn object_if_any<T: DeserializeOwned + Default>(
    body: Result<Option<Json<Value>>, JsonRejection>,
) -> Result<T, Problem> {
    match body? {
        None | Some(Json(Value::Null)) => Ok(T::default()),
        Some(body) => object(Ok(body)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Wish {
        many: u64,
    }

    #[test]
    fn a_list_is_no_object_and_what_is_wrong_is_told_in_plain_words() {
        let read = |body: Value| object_if_any::<Wish>(Ok(Some(Json(body))));
        assert_eq!(read(json!({"many": 2})).unwrap(), Wish { many: 2 });
        for none in [read(json!(null)), object_if_any(Ok(None)), read(json!({}))] {
            assert_eq!(none.unwrap(), Wish::default());
        }
        for (wrong, why) in [
            (json!([]), "the body must be an object"),
            (json!([2]), "the body must be an object"),
            (json!({"few": 2}), "there is no member `few`"),
            (json!({"many": "x"}), "expected a whole number"),
        ] {
            let refused = serde_json::to_value(read(wrong).unwrap_err()).unwrap();
            let detail = refused["detail"].as_str().unwrap();
            assert!(detail.contains(why), "{detail}");
        }
        assert!(object::<Wish>(Ok(Json(Value::Null))).is_err());
    }
}
