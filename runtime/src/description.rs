//! What the description of an API (OpenAPI) says of all routes alike, so that no route says it of itself.

use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::response::Response;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr};

/// Where the shape of refusals stands in a description.
const PROBLEM: &str = "#/components/schemas/Problem";
/// The media type of refusals (RFC 9457 §3).
const MEDIA_TYPE: &str = "application/problem+json";

/// Gives refusals their media type, and each route those that any route may answer: 400 where a path names something,
/// 500 and 503. Says of routes that answer 401 that `Authorization: Bearer` may be sent to them.
#[must_use]
pub fn completed(api: OpenApi) -> OpenApi {
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some(BEARER.to_owned());
    // Many of them answer who shows nothing, too.
    let nothing = SecurityRequirement::default();
    with(api, ("bearer", SecurityScheme::Http(bearer)), &[nothing])
}

/// The same for routes that want a client's certificate.
#[must_use]
pub fn completed_for_certificates(api: OpenApi) -> OpenApi {
    let scheme = SecurityScheme::MutualTls {
        description: Some(CERTIFICATE.to_owned()),
        deprecated: None,
        extensions: None,
    };
    with(api, ("certificate", scheme), &[])
}

/// Routes that answer 401 want what this scheme says, or one of the `others`.
fn with(
    mut api: OpenApi,
    (name, scheme): (&str, SecurityScheme),
    others: &[SecurityRequirement],
) -> OpenApi {
    let components = api.components.get_or_insert_default();
    components.add_security_scheme(name, scheme);
    for operation in api.paths.paths.values_mut().flat_map(operations) {
        let named = operation.parameters.iter().flatten().any(|parameter| {
            matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Path)
        });
        let any: &[(&str, &str)] = if named { &ANY_NAMED } else { &ANY };
        let responses = &mut operation.responses.responses;
        if responses.contains_key("401") {
            let shown = SecurityRequirement::new(name, [""; 0]);
            operation.security = Some([&[shown], others].concat());
        }
        for (status, description) in any {
            let missing = || RefOr::T(refusal(description));
            responses
                .entry((*status).to_owned())
                .or_insert_with(missing);
        }
        for response in responses.values_mut() {
            if let RefOr::T(response) = response {
                retype(response);
            }
        }
    }
    api
}

/// What `Authorization: Bearer` may hold.
const BEARER: &str = "An access token of a login, a token of an outside issuer, an API key, or the operator key; at the addresses of one upload its `upload_token`; for licences the token of `drm`.";
const CERTIFICATE: &str = "The certificate that enrolment gave.";
/// What any route may answer, and what any that names something in its path.
const ANY: [(&str, &str); 2] = [
    ("500", "a fault of this process, which its log tells"),
    ("503", "not now; try again in a moment"),
];
const ANY_NAMED: [(&str, &str); 3] = [("400", "what the path names is no text"), ANY[0], ANY[1]];

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [
        &mut path.get,
        &mut path.put,
        &mut path.post,
        &mut path.patch,
        &mut path.delete,
        &mut path.head,
    ];
    all.into_iter().flatten()
}

fn refusal(description: &str) -> Response {
    let mut response = Response::new(description);
    let shape = Content::new(Some(Ref::new(PROBLEM)));
    response.content.insert(MEDIA_TYPE.to_owned(), shape.into());
    response
}

fn retype(response: &mut Response) {
    let is_refusal = |content: &RefOr<Content>| {
        matches!(content, RefOr::T(content)
            if matches!(&content.schema, Some(RefOr::Ref(shape)) if shape.ref_location == PROBLEM))
    };
    for (media_type, content) in std::mem::take(&mut response.content) {
        let media_type = match is_refusal(&content) {
            true => MEDIA_TYPE.to_owned(),
            false => media_type,
        };
        response.content.insert(media_type, content);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn refusals_have_their_media_type_and_what_any_route_answers_is_told_of_each() {
        let problem = json!({"description": "", "content": {"application/json": {"schema": {"$ref": PROBLEM}}}});
        let film = json!({"description": "a film", "content": {"application/json": {"schema": {"type": "object"}}}});
        let path =
            json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"}});
        let api = json!({"openapi": "3.1.0", "info": {"title": "", "version": "1"}, "paths": {
            "/films": {"get": {"responses": {"200": film, "503": problem}}},
            "/films/{id}": {"delete": {"parameters": [path], "responses": {"401": problem, "404": problem}}},
        }});
        let api = serde_json::from_value::<OpenApi>(api).unwrap();
        let told = serde_json::to_value(completed(api.clone())).unwrap();
        let types = |path: &str, method: &str| {
            let responses = told["paths"][path][method]["responses"].as_object();
            let one = |(status, response): (&String, &Value)| {
                let content = response["content"].as_object().unwrap();
                format!("{status} {}", content.keys().next().unwrap())
            };
            responses.unwrap().iter().map(one).collect::<Vec<_>>()
        };
        let refused = |status| format!("{status} application/problem+json");
        assert_eq!(
            types("/films", "get"),
            [
                "200 application/json".to_owned(),
                refused(500),
                refused(503)
            ]
        );
        assert_eq!(
            types("/films/{id}", "delete"),
            [400, 401, 404, 500, 503].map(refused)
        );
        let shown = &told["paths"]["/films/{id}"]["delete"]["security"];
        assert_eq!(*shown, json!([{"bearer": []}, {}]));
        assert!(told["paths"]["/films"]["get"].get("security").is_none());
        let scheme = &told["components"]["securitySchemes"]["bearer"];
        assert_eq!(
            (&scheme["type"], &scheme["scheme"]),
            (&json!("http"), &json!("bearer"))
        );
        let told = serde_json::to_value(completed_for_certificates(api)).unwrap();
        let scheme = &told["components"]["securitySchemes"]["certificate"];
        assert_eq!(scheme["type"], "mutualTLS");
        let shown = &told["paths"]["/films/{id}"]["delete"]["security"];
        assert_eq!(*shown, json!([{"certificate": []}]));
    }
}
