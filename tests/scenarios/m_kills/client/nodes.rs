//! Joins, and the nodes that enrol with them.

use contracts::fleet::{ENROL, SETTINGS};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Client, text};
use crate::m_kills::promise::Promise;
use crate::newcomer::{Newcomer, invitation};
use crate::site::OPERATOR;

impl Client {
    /// A join; whoever enrols with it, how that node is used, and its end.
    pub(super) async fn node(&mut self) -> Option<()> {
        let name = self.fresh("node");
        let wish = invitation(&name);
        let made = self.post("/v1/fleet/joins", wish, 201).await?;
        let newcomer = Newcomer::with(&made);
        let anybody = self.site.at_door().build().unwrap();
        let enrols = |who: &Newcomer, status| {
            Promise::at_door((Method::POST, ENROL), &anybody, who.wish(), status)
        };
        match self.random.below(4) {
            0 => {
                self.note(enrols(&newcomer, 201).with("/name", json!(name)));
                return Some(());
            }
            1 => {
                let path = format!("/v1/fleet/joins/{}", text(&made, "id"));
                self.delete(&path, 204).await?;
                self.note(enrols(&newcomer, 403));
                return Some(());
            }
            _ => {}
        }
        let to = (Method::POST, format!("{}{ENROL}", self.door));
        let wish = newcomer.wish();
        let (have, enrolled) = self.site.ask_by(&anybody, to, "", &wish).await?;
        self.answered(have, 201, &enrolled)?;
        // The join counts no more for anybody else.
        self.note(enrols(&Newcomer::with(&made), 403));
        let node = newcomer.client(&self.site, &enrolled);
        self.used(&name, &node).await
    }

    /// A node that is drained, and dismissed perhaps.
    async fn used(&mut self, name: &str, node: &reqwest::Client) -> Option<()> {
        let is_met = |status| Promise::at_door((Method::GET, SETTINGS), node, Value::Null, status);
        let path = format!("/v1/fleet/nodes/{name}");
        let shown = || Promise::get(&path, OPERATOR, 200);
        let change = (Method::PATCH, path.clone());
        let wish = json!({"drain": true, "weight": 7});
        self.done(change, OPERATOR, wish, 200).await?;
        if self.random.below(2) == 0 {
            self.note(is_met(200));
            self.note(shown().with("/enrolled/drain", json!(true)));
            self.note(shown().with("/enrolled/weight", json!(7)));
            return Some(());
        }
        self.delete(&path, 200).await?;
        self.note(is_met(403));
        self.note(shown().with("/state", json!("dismissed")));
        Some(())
    }
}
