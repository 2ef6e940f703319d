//! Where everybody on the machine is the operator: what pages that somebody there looks at may not do.

use reqwest::RequestBuilder;
use serde_json::json;

use crate::house::{House, json, problem};

#[tokio::test]
async fn a_page_of_elsewhere_is_not_the_operator_for_being_looked_at_here() {
    let house = House::with(|config, _| {
        config.allowed_origins = vec!["https://site.example".into()];
    })
    .await;
    let port = house.running.listen.port();
    // What a browser sends across without asking first: no body, or one that is not said to be JSON.
    let renew = || house.request(reqwest::Method::POST, "/v1/fleet/feed/renew");
    let said = async |request: RequestBuilder| request.send().await.unwrap();
    for away in ["https://evil.example", "null"] {
        let refused = said(renew().header("origin", away)).await;
        problem(refused, 401, "unauthorized").await;
    }
    // A page whose own name was made to lead here asks whatever it likes, and shows whatever it likes.
    let led = || renew().header("host", format!("evil.example:{port}"));
    problem(said(led()).await, 401, "unauthorized").await;
    problem(said(led().bearer_auth("x")).await, 401, "unauthorized").await;
    let key = json!({"name": "x", "scopes": ["status"]});
    let led = house
        .post("/v1/api-keys", &key)
        .header("host", "evil.example");
    problem(said(led).await, 401, "unauthorized").await;
    for home in [
        format!("http://127.0.0.1:{port}"),
        "http://localhost:5173".to_owned(),
        "https://site.example".to_owned(),
    ] {
        json(said(renew().header("origin", home)).await, 200).await;
    }
    json(said(renew()).await, 200).await;
}
