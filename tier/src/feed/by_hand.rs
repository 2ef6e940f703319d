//! Purges that somebody orders at the internal port of one node.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use contracts::feed::Purge;
use runtime::clock::System;
use runtime::problem::Problem;
use serde_json::{Value, json};

use super::Orders;
use super::orders::Unkept;

/// `POST /purge` with a [`Purge`], for a node that follows no feed. One that does refuses: what is ordered here would
/// come to no other node, and what its parents hold would come back.
pub fn by_hand(orders: Arc<Orders>) -> Router {
    Router::new().route("/purge", post(purge).with_state(orders))
}

async fn purge(
    State(orders): State<Arc<Orders>>,
    Json(purge): Json<Purge>,
) -> Result<Json<Value>, Problem> {
    if orders.purges().follows() {
        let (title, detail) = (
            "The node follows a feed",
            "Order the purge where the feed comes from.",
        );
        return Err(Problem::new(
            "follows-feed",
            StatusCode::CONFLICT,
            title,
            detail,
        ));
    }
    let done = tokio::task::spawn_blocking(move || orders.by_hand(purge, System.wall())).await;
    let seq = done
        .map_err(|error| Unkept::Unsaved(error.to_string()))
        .flatten()
        .map_err(refused)?;
    Ok(Json(json!({ "seq": seq })))
}

fn refused(unkept: Unkept) -> Problem {
    match unkept {
        Unkept::Elsewhere => Problem::new(
            "upgrading",
            StatusCode::SERVICE_UNAVAILABLE,
            "The purge was not taken",
            "Another process is taking over. Order it again: it will be there.",
        ),
        Unkept::Unsaved(why) => Problem::new(
            "purge-unsaved",
            StatusCode::INTERNAL_SERVER_ERROR,
            "The purge was not written down",
            format!("It is in force, and would not survive a restart: {why}"),
        ),
    }
}
