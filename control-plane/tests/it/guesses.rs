//! Who guesses passwords: counted at all control planes together, and nobody's account is locked by it.

use reqwest::Response;
use serde_json::json;

use crate::house::{House, json, problem};
use crate::people::{PASSWORD, configured, on, sign_up, try_login};

const WRONG: &str = "a wrong password";

#[tokio::test]
async fn what_failed_at_one_control_plane_counts_at_the_others() {
    let Some(address) = test_postgres::database() else {
        return;
    };
    let (one, two) = (on(Some(&address)).await, on(Some(&address)).await);
    json(sign_up(&one, "ann").await, 201).await;
    for house in [&one, &two] {
        for _ in 0..5 {
            problem(try_login(house, "ann", WRONG).await, 401, "login-failed").await;
        }
    }
    for house in [&one, &two] {
        let right = try_login(house, "ann", PASSWORD).await;
        problem(right, 429, "too-many-requests").await;
        house.clock.advance(180);
    }
    assert_eq!(try_login(&two, "ann", PASSWORD).await.status(), 200);
}

async fn from(house: &House, network: u8, password: &str) -> Response {
    let wish = json!({"email": "ann@example.com", "password": password});
    let wish = house.post("/v1/auth/login", &wish);
    let wish = wish.header("millrace-client-ip", format!("198.51.100.{network}"));
    wish.send().await.unwrap()
}

#[tokio::test]
async fn strangers_who_guess_keep_nobody_out_of_an_account_where_they_log_in() {
    let trusting = |config: &mut control_plane::config::Config| {
        config.trusted_hops = vec!["127.0.0.0/8".into()];
    };
    let house = configured(None, trusting).await;
    json(sign_up(&house, "ann").await, 201).await;
    json(from(&house, 1, PASSWORD).await, 200).await;
    for network in 100..110 {
        for _ in 0..10 {
            problem(from(&house, network, WRONG).await, 401, "login-failed").await;
        }
        // No network uses up alone what all share.
        let more = from(&house, network, WRONG).await;
        problem(more, 429, "too-many-requests").await;
    }
    let new = from(&house, 2, PASSWORD).await;
    let wait = new.headers()["retry-after"].to_str().unwrap().to_owned();
    problem(new, 429, "too-many-requests").await;
    json(from(&house, 1, PASSWORD).await, 200).await;
    // From where it was never logged in to, as soon as time gives one more, and from then on as from there.
    house.clock.advance(wait.parse().unwrap());
    json(from(&house, 2, PASSWORD).await, 200).await;
    problem(from(&house, 120, WRONG).await, 401, "login-failed").await;
    problem(from(&house, 121, WRONG).await, 429, "too-many-requests").await;
    json(from(&house, 2, PASSWORD).await, 200).await;
}
