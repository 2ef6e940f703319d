//! Accounts: making one, logging in, staying so, logging out; what guesses and floods get.

use control_plane::config::Config;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::house::{House, NOW, OPERATOR, json, problem};

/// A house with accounts that everybody may have, and an operator key.
pub(crate) async fn house() -> House {
    on(None).await
}

/// The same with a catalogue elsewhere.
pub(crate) async fn on(catalog: Option<&str>) -> House {
    configured(catalog, |_| {}).await
}

/// The same with a configuration of its own.
pub(crate) async fn configured(catalog: Option<&str>, change: impl FnOnce(&mut Config)) -> House {
    House::with(|config, dir| {
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        config.operator_key = file("operator.key", OPERATOR);
        config.accounts.token_keys = vec![file("token.key", &"5a".repeat(32))];
        config.accounts.sign_up = control_plane::config::SignUp::Anybody;
        if let Some(catalog) = catalog {
            config.catalog = catalog.into();
        }
        change(config);
    })
    .await
}

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) async fn sign_up(house: &House, name: &str) -> Response {
    let wish = json!({"email": format!("{name}@example.com"), "name": name, "password": PASSWORD});
    house.post("/v1/users", &wish).send().await.unwrap()
}

pub(crate) async fn try_login(house: &House, name: &str, password: &str) -> Response {
    let wish = json!({"email": format!("{name}@example.com"), "password": password});
    house.post("/v1/auth/login", &wish).send().await.unwrap()
}

pub(crate) async fn login(house: &House, name: &str) -> Value {
    json(try_login(house, name, PASSWORD).await, 200).await
}

/// The access token of a new account with this role.
pub(crate) async fn somebody(house: &House, name: &str, role: &str) -> String {
    let account = json(sign_up(house, name).await, 201).await;
    if role != "viewer" {
        let path = format!("/v1/users/{}/role", account["user_id"].as_str().unwrap());
        let raise = house.post(&path, &json!({"role": role}));
        let raised = raise.bearer_auth(OPERATOR).send().await.unwrap();
        assert_eq!(json(raised, 200).await["role"], role);
    }
    token(&login(house, name).await)
}

fn token(login: &Value) -> String {
    login["access_token"].as_str().unwrap().to_owned()
}

async fn me(house: &House, token: &str) -> Response {
    let request = house.request(Method::GET, "/v1/users/me");
    request.bearer_auth(token).send().await.unwrap()
}

async fn with_refresh(house: &House, path: &str, login: &Value) -> Response {
    let shown = json!({"refresh_token": login["refresh_token"]});
    house.post(path, &shown).send().await.unwrap()
}

async fn renew(house: &House, login: &Value) -> Response {
    with_refresh(house, "/v1/auth/refresh", login).await
}

#[tokio::test]
async fn somebody_signs_up_logs_in_stays_so_and_logs_out() {
    for address in [None, test_postgres::database()] {
        let house = on(address.as_deref()).await;
        let account = json(sign_up(&house, "Ann").await, 201).await;
        assert_eq!(account["email"], "ann@example.com");
        assert_eq!(account["role"], "viewer");
        assert_eq!(account["created_unix_s"], NOW);
        assert!(account.get("password").is_none());
        problem(sign_up(&house, "aNN").await, 409, "email-taken").await;
        let begun = login(&house, "ANN").await;
        assert_eq!(begun["token_type"], "Bearer");
        assert_eq!(begun["expires_in_s"], 600);
        assert_eq!(begun["refresh_expires_in_s"], 30 * 86_400);
        let shown = json(me(&house, &token(&begun)).await, 200).await;
        assert_eq!(shown["user_id"], account["user_id"]);
        assert_eq!(
            (&shown["name"], &shown["role"]),
            (&json!("Ann"), &json!("viewer"))
        );
        house.clock.advance(600);
        problem(me(&house, &token(&begun)).await, 401, "unauthorized").await;
        let renewed = json(renew(&house, &begun).await, 200).await;
        assert_ne!(renewed["refresh_token"], begun["refresh_token"]);
        json(me(&house, &token(&renewed)).await, 200).await;
        let out = with_refresh(&house, "/v1/auth/logout", &renewed).await;
        assert_eq!(out.status(), 204);
        problem(me(&house, &token(&renewed)).await, 401, "unauthorized").await;
        problem(renew(&house, &renewed).await, 401, "login-over").await;
    }
}

#[tokio::test]
async fn a_refresh_token_that_was_stolen_ends_the_login_for_both() {
    let house = house().await;
    json(sign_up(&house, "ann").await, 201).await;
    let (first, other) = (login(&house, "ann").await, login(&house, "ann").await);
    let second = json(renew(&house, &first).await, 200).await;
    // An answer that was lost is asked for again.
    let again = json(renew(&house, &first).await, 200).await;
    json(me(&house, &token(&again)).await, 200).await;
    house.clock.advance(11);
    problem(renew(&house, &first).await, 401, "login-over").await;
    for ended in [&second, &again] {
        problem(me(&house, &token(ended)).await, 401, "unauthorized").await;
        problem(renew(&house, ended).await, 401, "login-over").await;
    }
    json(me(&house, &token(&other)).await, 200).await;
}

#[tokio::test]
async fn a_login_that_is_not_renewed_ends() {
    let house = house().await;
    json(sign_up(&house, "ann").await, 201).await;
    let begun = login(&house, "ann").await;
    house.clock.advance(30 * 86_400);
    problem(renew(&house, &begun).await, 401, "login-over").await;
}

#[tokio::test]
async fn wrong_passwords_and_unknown_addresses_are_answered_alike() {
    let house = house().await;
    json(sign_up(&house, "ann").await, 201).await;
    let wrong = problem(
        try_login(&house, "ann", "another password").await,
        401,
        "login-failed",
    );
    let unknown = problem(
        try_login(&house, "ben", PASSWORD).await,
        401,
        "login-failed",
    );
    assert_eq!(wrong.await, unknown.await);
}

#[tokio::test]
async fn a_password_costs_as_much_for_an_address_that_nobody_has() {
    let house = house().await;
    json(sign_up(&house, "ann").await, 201).await;
    let hashed = async || {
        let counter = "millrace_control_passwords_hashed_total";
        house.counter(counter).await
    };
    for (name, status) in [("ann", 401), ("ben", 401), ("nobody", 401)] {
        let before = hashed().await;
        let answer = try_login(&house, name, "another password").await;
        assert_eq!(answer.status(), status);
        assert_eq!(hashed().await, before + 1, "{name}");
    }
    let before = hashed().await;
    login(&house, "ann").await;
    assert_eq!(hashed().await, before + 1, "who has one");
}

#[tokio::test]
async fn who_guesses_a_password_is_stopped_and_others_are_not() {
    let house = house().await;
    for name in ["ann", "ben"] {
        json(sign_up(&house, name).await, 201).await;
    }
    for _ in 0..10 {
        let guess = try_login(&house, "ann", "a wrong password").await;
        problem(guess, 401, "login-failed").await;
    }
    let right = try_login(&house, "ann", PASSWORD).await;
    let wait: u64 = right.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    problem(right, 429, "too-many-requests").await;
    login(&house, "ben").await;
    house.clock.advance(wait);
    login(&house, "ann").await;
}

#[tokio::test]
async fn accounts_are_made_so_often_from_one_network_and_logins_tried() {
    let house = house().await;
    for number in 0..10 {
        json(sign_up(&house, &format!("user{number}")).await, 201).await;
    }
    problem(sign_up(&house, "more").await, 429, "too-many-requests").await;
    let mut refused = 0;
    for number in 0..40 {
        let guess = try_login(&house, &format!("nobody{number}"), PASSWORD).await;
        refused += u32::from(guess.status() == 429);
    }
    assert_eq!(refused, 10, "30 of them were looked at");
    let garbage = json!({"refresh_token": "mrt_x"});
    let mut seen = Vec::new();
    for _ in 0..121 {
        let answer = house.post("/v1/auth/refresh", &garbage).send().await;
        seen.push(answer.unwrap().status().as_u16());
    }
    assert_eq!((seen[0], seen[119], seen[120]), (401, 401, 429));
}

#[tokio::test]
async fn what_a_proxy_says_of_the_client_counts_only_when_it_is_trusted() {
    for trusted in [false, true] {
        let house = House::with(|config, dir| {
            let key = dir.path().join("token.key");
            std::fs::write(&key, "5a".repeat(32)).unwrap();
            config.accounts.token_keys = vec![key.display().to_string()];
            if trusted {
                config.trusted_hops = vec!["127.0.0.0/8".to_owned()];
            }
        })
        .await;
        let mut statuses = Vec::new();
        for number in 0..40 {
            let wish = json!({"email": format!("n{number}@example.com"), "password": "x"});
            let request = house.post("/v1/auth/login", &wish);
            let request = request.header("millrace-client-ip", format!("198.51.100.{number}"));
            statuses.push(request.send().await.unwrap().status().as_u16());
        }
        assert_eq!(statuses.contains(&429), !trusted, "{statuses:?}");
    }
}

#[tokio::test]
async fn a_new_password_ends_every_login_and_the_old_one_opens_nothing() {
    let house = house().await;
    let token = somebody(&house, "ann", "viewer").await;
    let change = async |old: &str, new: &str| {
        let change = json!({"password": old, "new_password": new});
        let request = house.request(Method::PUT, "/v1/users/me/password");
        request
            .json(&change)
            .bearer_auth(&token)
            .send()
            .await
            .unwrap()
    };
    problem(
        change("not the old one", "a new password").await,
        401,
        "login-failed",
    )
    .await;
    problem(change(PASSWORD, "short").await, 400, "bad-request").await;
    assert_eq!(change(PASSWORD, "a new password").await.status(), 204);
    problem(me(&house, &token).await, 401, "unauthorized").await;
    problem(
        try_login(&house, "ann", PASSWORD).await,
        401,
        "login-failed",
    )
    .await;
    json(try_login(&house, "ann", "a new password").await, 200).await;
}

#[tokio::test]
async fn roles_are_given_by_operators_and_count_at_once() {
    let house = house().await;
    let (ann, ben) = (
        somebody(&house, "ann", "operator").await,
        somebody(&house, "ben", "viewer").await,
    );
    let id = |user: Value| user["user_id"].as_str().unwrap().to_owned();
    let ben_id = id(json(me(&house, &ben).await, 200).await);
    let raise = async |token: &str, role: &str| {
        let request = house.post(&format!("/v1/users/{ben_id}/role"), &json!({"role": role}));
        request.bearer_auth(token).send().await.unwrap()
    };
    let status = async |token: &str| {
        let request = house.request(Method::GET, "/v1/status").bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    problem(raise(&ben, "operator").await, 403, "forbidden").await;
    assert_eq!(status(&ben).await, 403);
    json(raise(&ann, "operator").await, 200).await;
    assert_eq!(status(&ben).await, 200, "with the token of before");
    json(raise(&ann, "viewer").await, 200).await;
    assert_eq!(status(&ben).await, 403);
    problem(raise(&ann, "king").await, 400, "bad-request").await;
    let list = house.request(Method::GET, "/v1/users?limit=1");
    let page = json(list.bearer_auth(&ann).send().await.unwrap(), 200).await;
    assert_eq!(page["users"].as_array().unwrap().len(), 1);
    let next = format!("/v1/users?next={}", page["next"].as_str().unwrap());
    let rest = house.request(Method::GET, &next).bearer_auth(&ann);
    let rest = json(rest.send().await.unwrap(), 200).await;
    assert_eq!(rest["users"].as_array().unwrap().len(), 1);
    assert!(rest.get("next").is_none());
    let remove = async |token: &str, id: &str| {
        let request = house.request(Method::DELETE, &format!("/v1/users/{id}"));
        request.bearer_auth(token).send().await.unwrap()
    };
    let ann_id = id(json(me(&house, &ann).await, 200).await);
    problem(remove(&ben, &ann_id).await, 403, "forbidden").await;
    assert_eq!(remove(&ben, &ben_id).await.status(), 204, "oneself");
    problem(me(&house, &ben).await, 401, "unauthorized").await;
    problem(remove(&ann, &ben_id).await, 404, "user-not-found").await;
}

#[tokio::test]
async fn where_one_must_be_invited_an_invitation_is_good_once() {
    let house = House::with(|config, dir| {
        let key = dir.path().join("token.key");
        std::fs::write(&key, "5a".repeat(32)).unwrap();
        config.accounts.token_keys = vec![key.display().to_string()];
        config.operator_key = dir.path().join("operator.key").display().to_string();
        std::fs::write(dir.path().join("operator.key"), OPERATOR).unwrap();
    })
    .await;
    problem(sign_up(&house, "ann").await, 403, "not-invited").await;
    let invite = house.post("/v1/invitations", &json!({"role": "publisher"}));
    let invitation = json(invite.bearer_auth(OPERATOR).send().await.unwrap(), 201).await;
    assert_eq!(invitation["expires_at"], NOW + 7 * 86_400);
    let join = async |name: &str, invitation: &Value| {
        let wish = json!({"email": format!("{name}@x"), "name": name, "password": PASSWORD, "invitation": invitation});
        house.post("/v1/users", &wish).send().await.unwrap()
    };
    let joined = json(join("ann", &invitation["invitation"]).await, 201).await;
    assert_eq!(joined["role"], "publisher");
    let again = join("ben", &invitation["invitation"]).await;
    problem(again, 403, "not-invited").await;
    problem(
        join("ben", &json!("minv_guessed")).await,
        403,
        "not-invited",
    )
    .await;
}

#[tokio::test]
async fn the_first_start_without_an_operator_tells_how_to_become_one() {
    for address in [None, test_postgres::database()] {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("token.key");
        std::fs::write(&key, "5a".repeat(32)).unwrap();
        let file = format!("sqlite://{}", dir.path().join("catalog.db").display());
        let config = || Config {
            listen: "0.0.0.0:0".into(),
            internal: "127.0.0.1:0".into(),
            catalog: address.as_deref().unwrap_or(&file).into(),
            accounts: control_plane::config::AccountsConfig {
                token_keys: vec![key.display().to_string()],
                ..Default::default()
            },
            ..Default::default()
        };
        let start = || {
            let settings = config().check().unwrap();
            control_plane::start(settings, std::sync::Arc::new(runtime::clock::System))
        };
        let (one, two) = tokio::join!(start(), start());
        let (one, two) = (one.unwrap(), two.unwrap());
        let told: Vec<&String> = [&one, &two]
            .into_iter()
            .filter_map(|running| running.first_operator.as_ref())
            .collect();
        let [invitation] = told[..] else {
            panic!("one of both tells it, once")
        };
        let client = runtime::http::client().build().unwrap();
        let api = |path: &str| format!("http://127.0.0.1:{}{path}", two.listen.port());
        let status = client.get(api("/v1/status")).send().await.unwrap();
        assert_eq!(status.status(), 401, "nobody is the operator by asking");
        let wish =
            json!({"email": "op@x", "name": "Op", "password": PASSWORD, "invitation": invitation});
        let joined = client.post(api("/v1/users")).json(&wish).send().await;
        assert_eq!(json(joined.unwrap(), 201).await["role"], "operator");
        let wish = json!({"email": "op@x", "password": PASSWORD});
        let login = client.post(api("/v1/auth/login")).json(&wish).send().await;
        let token = token(&json(login.unwrap(), 200).await);
        let status = client.get(api("/v1/status")).bearer_auth(token).send();
        assert_eq!(status.await.unwrap().status(), 200);
        let third = start().await.unwrap();
        assert_eq!(third.first_operator, None, "there is an operator");
        for running in [one, two, third] {
            running.stop().await;
        }
    }
}

#[tokio::test]
async fn a_flood_of_logins_leaves_room_for_everything_else() {
    let house = std::sync::Arc::new(
        House::with(|config, dir| {
            let key = dir.path().join("token.key");
            std::fs::write(&key, "5a".repeat(32)).unwrap();
            config.accounts.token_keys = vec![key.display().to_string()];
            config.accounts.hashers = 1;
            config.trusted_hops = vec!["127.0.0.0/8".to_owned()];
        })
        .await,
    );
    let mut flood = tokio::task::JoinSet::new();
    for number in 0..90_u8 {
        let wish = json!({"email": format!("n{number}@example.com"), "password": "x"});
        let request = house.post("/v1/auth/login", &wish);
        let request = request.header("millrace-client-ip", format!("198.51.100.{number}"));
        flood.spawn(request.send());
    }
    let mut answers = std::collections::BTreeMap::<u16, u32>::new();
    let site = json(house.get("/v1/status").await, 200).await;
    assert_eq!(site["catalog"], "reachable");
    while let Some(answer) = flood.join_next().await {
        *answers
            .entry(answer.unwrap().unwrap().status().as_u16())
            .or_default() += 1;
    }
    assert!(answers[&503] > 0 && answers[&401] > 0, "{answers:?}");
    assert_eq!(answers.len(), 2, "{answers:?}");
}

#[tokio::test]
async fn without_keys_there_are_no_accounts_and_an_open_house_stays_open() {
    let house = House::start().await;
    problem(sign_up(&house, "ann").await, 404, "not-found").await;
    problem(try_login(&house, "ann", PASSWORD).await, 404, "not-found").await;
    json(house.get("/v1/status").await, 200).await;
    let operator = house.get("/v1/users/me").await;
    problem(operator, 403, "account-needed").await;
}

#[tokio::test]
async fn what_is_wrong_with_a_wish_is_said_and_nothing_is_made() {
    let house = house().await;
    let post = async |path: &str, body: Value| house.post(path, &body).send().await.unwrap();
    for body in [
        json!({}),
        json!({"email": "ann", "name": "Ann", "password": PASSWORD}),
        json!({"email": "a@x", "name": "", "password": PASSWORD}),
        json!({"email": "a@x", "name": "A\u{0}", "password": PASSWORD}),
        json!({"email": "a@x", "name": "Ann", "password": "short"}),
        json!({"email": "a@x", "name": "Ann", "password": "x".repeat(513)}),
        json!({"email": "a@x", "name": "Ann", "password": PASSWORD, "role": "operator"}),
    ] {
        problem(post("/v1/users", body).await, 400, "bad-request").await;
    }
    let unused = post(
        "/v1/auth/login",
        json!({"email": "a@x", "password": PASSWORD}),
    )
    .await;
    problem(unused, 401, "login-failed").await;
}
