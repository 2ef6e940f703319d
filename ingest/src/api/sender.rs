//! Who is at one upload: somebody who may upload, or whoever was handed its token.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use contracts::id::UploadId;
use runtime::{
    operator::bearer,
    problem::{Named, Problem},
};

use super::{App, caller::Caller, problem};
use crate::{
    Error,
    upload::{Token, Upload},
};

/// Who is at one upload. Routes that are about another thing have a [`Caller`] among their arguments, which no token makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Somebody who may upload.
    Caller(Caller),
    /// Whoever shows the token of this upload.
    Holder(UploadId),
}

impl FromRequestParts<Arc<App>> for Sender {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if let Some(token) = bearer(&parts.headers).and_then(Token::parse) {
            let Named(id) = Named::<String>::from_request_parts(parts, app).await?;
            if let Some(held) = held(app, &id, &token).await.map_err(Problem::from)? {
                return Ok(Self::Holder(held));
            }
        }
        // A token that does not count is judged, counted and answered as whatever else does not.
        let caller = Caller::from_request_parts(parts, app).await;
        caller.map(Self::Caller)
    }
}

/// The upload of this id, if that is what the token opens.
async fn held(app: &App, id: &str, token: &Token) -> Result<Option<UploadId>, Error> {
    let Ok(id) = UploadId::parse(id) else {
        return Ok(None);
    };
    let found = app.uploads.find(&id).await?;
    let opens = |upload: &Upload| upload.is_opened_by(&token.digest(), app.clock.now());
    Ok(found.filter(opens).map(|upload| upload.id))
}

impl App {
    /// Refuses whoever is not to see and change an upload: of others' one does not learn.
    pub(super) async fn admit(&self, sender: &Sender, upload: &Upload) -> Result<(), Problem> {
        let may = match sender {
            Sender::Caller(caller) => self.may(caller, &upload.video).await?,
            Sender::Holder(held) => *held == upload.id,
        };
        may.then_some(()).ok_or_else(problem::no_upload)
    }
}

#[cfg(test)]
impl From<Caller> for Sender {
    fn from(caller: Caller) -> Self {
        Self::Caller(caller)
    }
}
