//! How a node says who it is when it asks a feed for orders.

use serde::{Deserialize, Serialize};

use crate::id::{FeedId, NodeId};

/// What a node asks: the query of `GET {feed}`. A server that does not want to know who asks passes over the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The last order that it has applied; zero: none.
    #[serde(default)]
    pub after: u64,
    /// For how many seconds it waits where there is nothing new.
    #[serde(default)]
    pub wait: u64,
    /// The feed whose orders it has applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed: Option<FeedId>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// For how many seconds after this question it may go on to serve what is purged, should it hear no more; absent:
    /// for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stops_s: Option<u64>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It serves viewers.
    #[default]
    Edge,
    /// It serves other nodes.
    Shield,
}

impl Kind {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Shield => "shield",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Edge, Self::Shield]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

impl Question {
    /// The query, without `?`. Nothing in it needs an escape.
    #[must_use]
    pub fn query(&self) -> String {
        let feed = self.feed.as_ref().map(|id| format!("&feed={id}"));
        let node = self.node.as_ref().map(|name| format!("&node={name}"));
        let kind = self.kind.map(|kind| format!("&kind={}", kind.as_str()));
        let stops = self.stops_s.map(|span| format!("&stops_s={span}"));
        let said: String = [feed, node, kind, stops].into_iter().flatten().collect();
        format!("after={}&wait={}{said}", self.after, self.wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_query_that_needs_no_escape() {
        let question = Question {
            after: 7,
            wait: 20,
            ..Question::default()
        };
        assert_eq!(question.query(), "after=7&wait=20");
        let question = Question {
            feed: FeedId::parse("f_1").ok(),
            node: NodeId::parse("edge-1").ok(),
            kind: Some(Kind::Shield),
            stops_s: Some(60),
            ..question
        };
        let query = "after=7&wait=20&feed=f_1&node=edge-1&kind=shield&stops_s=60";
        assert_eq!(question.query(), query);
    }
}
