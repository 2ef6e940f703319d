//! Accounts, what opens the site to programs, and channels.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Client, text};
use crate::m_kills::promise::Promise;
use crate::site::{OPERATOR, PASSWORD};

impl Client {
    /// An account, its role, its logins, their renewal and their end.
    pub(super) async fn account(&mut self) -> Option<()> {
        let name = self.fresh("account");
        let email = format!("{name}@example.com");
        let wish = json!({"email": email, "name": name, "password": PASSWORD});
        let account = self.post("/v1/users", wish, 201).await?;
        let id = text(&account, "user_id");
        let streams = format!("/v1/users/{id}/streams");
        self.note(Promise::get(&streams, OPERATOR, 200));
        let role = format!("/v1/users/{id}/role");
        self.post(&role, json!({"role": "publisher"}), 200).await?;
        let login = json!({"email": email, "password": PASSWORD});
        let login = self.post("/v1/auth/login", login, 200).await?;
        let me = |login: &Value| Promise::get("/v1/users/me", &text(login, "access_token"), 200);
        let publisher = ("/role", json!("publisher"));
        self.note(me(&login).with(publisher.0, publisher.1));
        self.put(&streams, json!({"limit": 7})).await?;
        self.note(Promise::get(&streams, OPERATOR, 200).with("/own_limit", json!(7)));
        let refresh = |login: &Value| json!({"refresh_token": login["refresh_token"]});
        let next = self.post("/v1/auth/refresh", refresh(&login), 200).await?;
        self.note(me(&next));
        if self.random.below(2) == 0 {
            let over = [text(&login, "access_token"), text(&next, "access_token")];
            self.forget(|promise| over.contains(&promise.shown));
            self.post("/v1/auth/logout", refresh(&next), 204).await?;
            self.note(Promise::get("/v1/users/me", &over[1], 401));
            let again = Promise::post("/v1/auth/refresh", refresh(&next), 401);
            self.note(again);
        }
        Some(())
    }

    /// An invitation, the account of whoever takes it, another password, and the account's end.
    pub(super) async fn invited(&mut self) -> Option<()> {
        let wish = json!({"role": "publisher"});
        let made = self.post("/v1/invitations", wish, 201).await?;
        let name = self.fresh("invited");
        let email = format!("{name}@example.com");
        let wish = json!({"email": email, "name": name, "password": PASSWORD, "invitation": made["invitation"]});
        if self.random.below(3) == 0 {
            let taken = Promise::post("/v1/users", wish, 201);
            self.note(taken.with("/role", json!("publisher")));
            return Some(());
        }
        let account = self.post("/v1/users", wish.clone(), 201).await?;
        let mut again = wish;
        again["email"] = json!(format!("again-{email}"));
        self.note(Promise::post("/v1/users", again, 403));
        let login = |password: &str| json!({"email": email, "password": password});
        let first = self.post("/v1/auth/login", login(PASSWORD), 200).await?;
        let shown = text(&first, "access_token");
        let change = (Method::PUT, "/v1/users/me/password".to_owned());
        let wish = json!({"password": PASSWORD, "new_password": OTHER_PASSWORD});
        self.done(change, &shown, wish, 204).await?;
        self.note(Promise::get("/v1/users/me", &shown, 401));
        let enters =
            |password: &str, status| Promise::post("/v1/auth/login", login(password), status);
        self.note(enters(PASSWORD, 401));
        if self.random.below(2) == 0 {
            self.note(enters(OTHER_PASSWORD, 200));
            return Some(());
        }
        let path = format!("/v1/users/{}", text(&account, "user_id"));
        self.delete(&path, 204).await?;
        self.note(enters(OTHER_PASSWORD, 401));
        let role = json!({"role": "viewer"});
        self.note(Promise::post(format!("{path}/role"), role, 404));
        Some(())
    }

    pub(super) async fn api_key(&mut self) -> Option<()> {
        let wish = json!({"name": self.name, "scopes": ["status"]});
        let key = self.post("/v1/api-keys", wish, 201).await?;
        let secret = text(&key, "secret");
        self.note(Promise::get("/v1/status", &secret, 200));
        if self.random.below(2) == 0 {
            self.forget(|promise| promise.shown == secret);
            let path = format!("/v1/api-keys/{}", text(&key, "api_key_id"));
            self.delete(&path, 204).await?;
            self.note(Promise::get("/v1/status", &secret, 401));
        }
        Some(())
    }

    /// A channel of a publisher's, and a film in it.
    pub(super) async fn channel(&mut self) -> Option<()> {
        let name = self.fresh("publisher");
        let email = format!("{name}@example.com");
        let wish = json!({"email": email, "name": name, "password": PASSWORD});
        let account = self.post("/v1/users", wish, 201).await?;
        let role = format!("/v1/users/{}/role", text(&account, "user_id"));
        self.post(&role, json!({"role": "publisher"}), 200).await?;
        let login = json!({"email": email, "password": PASSWORD});
        let login = self.post("/v1/auth/login", login, 200).await?;
        let shown = text(&login, "access_token");
        let film = format!("/v1/videos/granted-{}", self.name);
        let to = (Method::POST, "/v1/channels".to_owned());
        let channel = self.done(to, &shown, json!({"name": name}), 201).await?;
        let id = text(&channel, "channel_id");
        let there = Promise::get(format!("/v1/channels/{id}"), OPERATOR, 200);
        self.note(there.with("/name", json!(name)));
        // Whoever has the channel sees the private films in it; the film was another's before.
        self.forget(|promise| promise.path == film && promise.shown != OPERATOR);
        let place = (Method::PUT, format!("{film}/channel"));
        let wish = json!({"channel_id": id});
        self.done(place, OPERATOR, wish, 204).await?;
        self.note(Promise::get(&film, &shown, 200));
        Some(())
    }
}

/// What some take in place of their first one.
const OTHER_PASSWORD: &str = "battery staple, correct";
