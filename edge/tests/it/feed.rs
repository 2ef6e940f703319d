//! A server of the feed that a test writes: each node asks at its own address, and may be kept behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use contracts::feed::{Entry, Page};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Feed {
    url: String,
    book: Arc<watch::Sender<Book>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Book {
    entries: Vec<Entry>,
    /// Nodes that learn of nothing after an order.
    cut: HashMap<String, u64>,
    /// The highest number after which each node has asked: what it has applied.
    applied: HashMap<String, u64>,
    /// The first number after which it asked.
    begun: HashMap<String, u64>,
    credentials: Vec<Option<String>>,
}

#[derive(Deserialize)]
struct Asked {
    after: u64,
    wait: u64,
}

impl Feed {
    pub async fn start() -> Self {
        let book: Arc<watch::Sender<Book>> = Arc::default();
        let router = Router::new()
            .route("/v1/fleet/feed/{node}", get(page))
            .with_state(Arc::clone(&book));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/fleet/feed", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, book, task }
    }

    /// The configuration of a node that follows it.
    pub fn at(&self, node: &str) -> tier::feed::Feed {
        tier::feed::Feed {
            from: format!("{}/{node}", self.url),
            ..tier::feed::Feed::default()
        }
    }

    /// Orders something of all nodes, and gives its number. Numbers leave gaps.
    pub fn order(&self, mut order: Value) -> u64 {
        let mut seq = 0;
        self.book.send_modify(|book| {
            seq = book.entries.last().map_or(10, |last| last.seq + 10);
            order["seq"] = seq.into();
            book.entries.push(serde_json::from_value(order).unwrap());
        });
        seq
    }

    /// Orders something and waits until these nodes have applied it.
    pub async fn obeyed(&self, order: Value, nodes: &[&str]) -> u64 {
        let seq = self.order(order);
        for node in nodes {
            self.until(node, seq).await;
        }
        seq
    }

    /// From now on a node learns of nothing new.
    pub fn cut(&self, node: &str) {
        self.book.send_modify(|book| {
            let head = book.entries.last().map_or(0, |last| last.seq);
            book.cut.insert(node.to_owned(), head);
        });
    }

    /// It learns of everything again.
    pub fn mend(&self, node: &str) {
        self.book.send_modify(|book| {
            book.cut.remove(node);
        });
    }

    /// Waits until a node has applied an order.
    pub async fn until(&self, node: &str, seq: u64) {
        let mut seen = self.book.subscribe();
        let wait = seen.wait_for(|book| book.applied.get(node).is_some_and(|at| *at >= seq));
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(waited.is_ok(), "{node} has not applied {seq}");
    }

    /// The number after which a node asked first.
    pub fn begun(&self, node: &str) -> Option<u64> {
        self.book.borrow().begun.get(node).copied()
    }

    /// The nodes ask anew.
    pub fn forget(&self) {
        self.book.send_modify(|book| {
            book.applied.clear();
            book.begun.clear();
        });
    }

    pub fn credentials(&self) -> Vec<Option<String>> {
        self.book.borrow().credentials.clone()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn page(
    State(book): State<Arc<watch::Sender<Book>>>,
    Path(node): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Json<Page>, StatusCode> {
    book.send_modify(|book| {
        let shown = headers.get("millrace-hop");
        let shown = shown.map(|shown| shown.to_str().unwrap().to_owned());
        book.credentials.push(shown);
        book.begun.entry(node.clone()).or_insert(asked.after);
        let applied = book.applied.entry(node.clone()).or_default();
        *applied = asked.after.max(*applied);
    });
    let mut seen = book.subscribe();
    let more = seen.wait_for(|book| !book.page(&node, asked.after).entries.is_empty());
    let _ = tokio::time::timeout(Duration::from_secs(asked.wait), more).await;
    let page = book.borrow().page(&node, asked.after);
    Ok(Json(page))
}

impl Book {
    fn page(&self, node: &str, after: u64) -> Page {
        let end = self.cut.get(node).copied().unwrap_or(u64::MAX);
        let known = self.entries.iter().filter(|entry| entry.seq <= end);
        Page {
            feed: None,
            head: known.clone().next_back().map_or(0, |last| last.seq),
            gap: None,
            entries: known.filter(|entry| entry.seq > after).cloned().collect(),
        }
    }
}
