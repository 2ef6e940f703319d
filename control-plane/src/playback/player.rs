//! What a player says of the device that it runs on: read once, and refused where it is not what it should be.

use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::drm::policy::{Device, Hdcp};
use runtime::problem::Problem;

/// How much of a device's name is kept, in characters.
const LONGEST_NAME: usize = 100;

/// `device` of a wish to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Player {
    /// By what the keys and the renditions are chosen that it gets.
    pub(crate) device: Device,
    /// The systems of DRM that it says it has, as it spells them.
    pub(crate) drm: Vec<String>,
    /// What it is called where an account's streams are listed.
    pub(crate) name: Option<String>,
}

/// [`Player`], as the API's description shows it.
#[derive(ToSchema)]
#[schema(as = Device)]
#[expect(dead_code, reason = "describes what `Player::read` reads")]
pub(crate) struct Described {
    /// The shorter side of the largest picture that it shows.
    #[schema(minimum = 1)]
    max_height: Option<u64>,
    /// The version of HDCP of its way to the screen, 1.0 to 2.3.
    #[schema(pattern = r"^(1\.[0-4]|2\.[0-3])$")]
    hdcp: Option<String>,
    /// The systems of DRM that it has: the first that is offered gives it keys, where `drm` wishes none.
    drm: Option<Vec<String>>,
    /// What it is called where an account's streams are listed.
    name: Option<String>,
    /// The same, where there is no name.
    r#type: Option<String>,
    /// The same, where there is no type either.
    id: Option<String>,
}

impl Player {
    /// Reads `device`. Members that are not known do not count; one that is and says something else than it should is
    /// refused, for a bound that nobody understood bounds nothing.
    pub(crate) fn read(said: Option<&Value>) -> Result<Self, Problem> {
        let nothing = Map::new();
        let said = match said {
            None | Some(Value::Null) => &nothing,
            Some(Value::Object(said)) => said,
            Some(_) => return Err(Problem::bad_request("device must be an object")),
        };
        let max_height = member(said, "max_height", "a whole number, 1 or more", |value| {
            value.as_u64().filter(|height| *height > 0)
        })?;
        let hdcp = member(said, "hdcp", "a version of HDCP, 1.0 to 2.3", |value| {
            value.as_str()?.parse::<Hdcp>().ok()
        })?;
        let drm = member(said, "drm", "a list of names of DRM systems", |value| {
            let names = value.as_array()?.iter();
            names.map(|name| name.as_str().map(str::to_owned)).collect()
        })?;
        let text = |name| member(said, name, "text", |value| value.as_str());
        let names = [text("name")?, text("type")?, text("id")?];
        let name = names.into_iter().flatten().find(|name| !name.is_empty());
        Ok(Self {
            device: Device { hdcp, max_height },
            drm: drm.unwrap_or_default(),
            name: name.map(shown),
        })
    }
}

/// A member that is read so; none where it is absent or null.
fn member<'a, T>(
    said: &'a Map<String, Value>,
    name: &str,
    what: &str,
    read: impl FnOnce(&'a Value) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some(value) = said.get(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let refused = || Problem::bad_request(format!("device.{name} must be {what}"));
    read(value).map(Some).ok_or_else(refused)
}

fn shown(name: &str) -> String {
    let shown = name.chars().filter(|one| !one.is_control());
    shown.take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_known_of_a_device_is_read_and_the_rest_does_not_count() {
        let said = json!({"max_height": 1080, "hdcp": "2.2", "drm": ["widevine", "new"], "name": "",
            "type": "Living\n room", "codecs": 7, "id": null});
        let player = Player::read(Some(&said)).unwrap();
        assert_eq!(player.device.max_height, Some(1080));
        assert_eq!(player.device.hdcp, "2.2".parse().ok());
        assert_eq!(player.drm, ["widevine", "new"]);
        assert_eq!(player.name.as_deref(), Some("Living room"));
        assert_eq!(Player::read(None).unwrap(), Player::default());
        let long = json!({"id": "x".repeat(300)});
        let name = Player::read(Some(&long)).unwrap().name;
        assert_eq!(name.map(|name| name.len()), Some(LONGEST_NAME));
    }

    #[test]
    fn what_is_not_what_it_should_be_is_refused_by_its_name() {
        for (said, named) in [
            (json!("tv"), "device must"),
            (json!([]), "device must"),
            (json!({"max_height": "240"}), "device.max_height "),
            (json!({"max_height": -1}), "device.max_height "),
            (json!({"max_height": 0}), "device.max_height "),
            (json!({"max_height": 239.5}), "device.max_height "),
            (json!({"hdcp": 1.4}), "device.hdcp "),
            (json!({"hdcp": "1.5"}), "device.hdcp "),
            (json!({"drm": "widevine"}), "device.drm "),
            (json!({"drm": ["widevine", 7]}), "device.drm "),
            (json!({"name": 7}), "device.name "),
            (json!({"type": {}}), "device.type "),
            (json!({"id": []}), "device.id "),
        ] {
            let refused = Player::read(Some(&said)).unwrap_err();
            let told = serde_json::to_value(&refused).unwrap();
            let detail = told["detail"].as_str().unwrap();
            assert!(detail.starts_with(named), "{said}: {detail}");
        }
    }
}
