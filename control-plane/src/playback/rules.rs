//! The rules of a film over HTTP: who may watch it, and where.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use catalog::entitlements::Covers;
use catalog::rules::{Audience, Rules};
use contracts::asset::Privacy;
use contracts::token::Countries;
use runtime::problem::{Named, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::geo;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::{self, catalogue};

/// A film's rules.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = VideoRules)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shown {
    /// `everybody` who may know of it, or to whom it was `granted`.
    audience: String,
    /// Where it may be watched; `null` for wherever the site may.
    #[serde(default)]
    countries: Option<Where>,
}

/// Countries, by the codes of ISO 3166-1; `ZZ` is one that is not known. One of both members is there.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Where {
    /// In these alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    only: Option<Vec<String>>,
    /// In all but these.
    #[serde(skip_serializing_if = "Option::is_none")]
    except: Option<Vec<String>>,
}

/// A film's rules. For whoever may grant it.
#[utoipa::path(get, path = "/videos/{id}/rules", params(("id" = String, Path)),
    responses((status = 200, body = Shown), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
) -> Result<Json<Shown>, Problem> {
    let video = app.visible(&id, &caller).await?;
    app.may_grant(&caller, &Covers::Video(video.id.clone()))
        .await?;
    let rules = app.catalog.rules.of(&video.id).await.map_err(catalogue)?;
    Ok(Json(rules.into()))
}

/// Gives a film rules. They count from the next start on; the audience also for sessions when their tokens are renewed.
/// For whoever may grant it.
#[utoipa::path(put, path = "/videos/{id}/rules", params(("id" = String, Path)), request_body = Shown,
    responses((status = 200, body = Shown), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem, description = "`film-is-public`: it is given to whoever asks"), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
    wish: Result<Json<Shown>, JsonRejection>,
) -> Result<Json<Shown>, Problem> {
    let video = app.visible(&id, &caller).await?;
    app.may_grant(&caller, &Covers::Video(video.id.clone()))
        .await?;
    let Json(wish) = wish?;
    let audience = Audience::parse(&wish.audience);
    let audience =
        audience.ok_or_else(|| Problem::bad_request("audience must be everybody or granted"))?;
    if audience == Audience::Granted && video.privacy == Privacy::Public {
        return Err(problem::film_is_public());
    }
    let countries = wish.countries.map(countries).transpose()?;
    let rules = Rules {
        audience,
        countries,
    };
    let set = app.catalog.rules.set(&video.id, &rules).await;
    set.map_err(catalogue)?;
    Ok(Json(rules.into()))
}

fn countries(wished: Where) -> Result<Countries, Problem> {
    let sound = |codes: Vec<String>| geo::codes(codes).map_err(Problem::bad_request);
    match (wished.only, wished.except) {
        (Some(codes), None) => sound(codes).map(Countries::Only),
        (None, Some(codes)) => sound(codes).map(Countries::Except),
        _ => Err(Problem::bad_request(
            "countries must have one of only and except",
        )),
    }
}

impl From<Rules> for Shown {
    fn from(rules: Rules) -> Self {
        let countries = rules.countries.map(|countries| match countries {
            Countries::Only(codes) => Where {
                only: Some(codes),
                except: None,
            },
            Countries::Except(codes) => Where {
                only: None,
                except: Some(codes),
            },
        });
        Self {
            audience: rules.audience.as_str().to_owned(),
            countries,
        }
    }
}
