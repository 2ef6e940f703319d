//! Who may watch a film now: what is known of them and of it, and what follows.

use catalog::rules::Rules;
use catalog::sessions::{Cut, Ending, Session, Watched};
use catalog::users::Role;
use catalog::videos::Video;
use contracts::asset::Privacy;
use contracts::id::{GrantId, UserId, VideoId};
use contracts::time::UnixSeconds;
use runtime::problem::Problem;

use super::entitlement::{self, Case, Standing, Verdict};
use super::terms::Terms;
use super::viewer::{Viewer, is_named};
use crate::app::App;
use crate::caller::{Caller, Scope};
use crate::problem::{self, catalogue};

/// A film that somebody may watch now.
pub(crate) struct Admitted {
    pub(crate) video: Video,
    pub(crate) rules: Rules,
    /// When it may be watched no longer, if that is known.
    pub(crate) until: Option<UnixSeconds>,
    /// Whether a grant lets them: it may be taken back.
    pub(crate) by_grant: bool,
    /// Whether whoever asks may watch every film.
    pub(crate) is_house: bool,
}

impl App {
    /// A film that can be watched and that whoever asks may watch now.
    pub(crate) async fn admitted(
        &self,
        id: &str,
        caller: &Caller,
        viewer: &Viewer,
    ) -> Result<Admitted, Problem> {
        let video = self.visible(id, caller).await?;
        let rules = self.catalog.rules.of(&video.id).await.map_err(catalogue)?;
        let standing = match caller {
            Caller::User(person) if person.role == Role::Operator => Standing::House,
            Caller::Operator | Caller::Backend(_) if viewer.account.is_some() => Standing::Named,
            _ if caller.may(Scope::Videos) || caller.may(Scope::Playback) => Standing::House,
            _ => Standing::Viewer,
        };
        let verdict = self
            .judge(&video, &rules, standing, viewer.account.as_ref(), None)
            .await?;
        let (until, by_grant) = match verdict {
            Verdict::Free => (None, false),
            Verdict::Granted(until) => (until, true),
            Verdict::NotEntitled(from) => return Err(problem::not_entitled(from)),
            Verdict::Hidden => return Err(Problem::no_video()),
        };
        if !video.is_playable() {
            let (state, reason) = (video.state.as_str(), video.failure.as_deref());
            return Err(problem::not_ready(&video.id, state, video.progress, reason));
        }
        Ok(Admitted {
            video,
            rules,
            until,
            by_grant,
            is_house: standing == Standing::House,
        })
    }

    /// Refuses a session, and ends it, whose account may not watch its film any more.
    pub(super) async fn unless_taken_back(&self, session: &Session) -> Result<(), Problem> {
        match self.still(session).await? {
            Verdict::Free | Verdict::Granted(_) => Ok(()),
            Verdict::NotEntitled(_) | Verdict::Hidden => {
                let (sessions, now) = (&self.catalog.sessions, self.clock.now());
                let ended = sessions.stop(&session.id, Ending::NotEntitled, now).await;
                ended.map_err(catalogue)?;
                Err(problem::not_entitled(None))
            }
        }
    }

    /// Whether whoever a session is of may watch its film still.
    pub(super) async fn still(&self, session: &Session) -> Result<Verdict, Problem> {
        let terms = Terms::read(session.terms.as_deref());
        let standing = match (&session.account, terms.house) {
            (Some(account), _) => {
                self.standing_of(account, std::slice::from_ref(&terms))
                    .await?
            }
            (None, Some(true)) => Standing::House,
            (None, Some(false)) => Standing::Viewer,
            (None, None) => return Ok(Verdict::Free),
        };
        let video = self.catalog.videos.find(&session.video).await;
        let Some(video) = video.map_err(catalogue)? else {
            return Ok(Verdict::Hidden);
        };
        let rules = self.catalog.rules.of(&video.id).await.map_err(catalogue)?;
        let account = session.account.as_ref();
        self.judge(&video, &rules, standing, account, None).await
    }

    /// Ends an account's sessions of films that it may watch no more, or could not without a grant; tells how many.
    pub(crate) async fn end_not_entitled(
        &self,
        account: &UserId,
        without: Option<&GrantId>,
    ) -> Result<u64, Problem> {
        let now = self.clock.now();
        let watched = self.catalog.sessions.watched(account, now).await;
        let watched = watched.map_err(catalogue)?;
        let terms = watched.iter().map(|one| Terms::read(one.terms.as_deref()));
        let terms: Vec<Terms> = terms.collect();
        let standing = self.standing_of(account, &terms).await?;
        let mut videos = Vec::new();
        for id in films(watched) {
            let Some(video) = self.catalog.videos.find(&id).await.map_err(catalogue)? else {
                continue;
            };
            let rules = self.catalog.rules.of(&id).await.map_err(catalogue)?;
            let verdict = self
                .judge(&video, &rules, standing, Some(account), without)
                .await?;
            if matches!(verdict, Verdict::NotEntitled(_) | Verdict::Hidden) {
                videos.push(id);
            }
        }
        self.cut(account, videos, now).await
    }

    /// Ends the sessions of an account that is gone; tells how many.
    pub(crate) async fn end_sessions_of(&self, account: &UserId) -> Result<u64, Problem> {
        let now = self.clock.now();
        let watched = self.catalog.sessions.watched(account, now).await;
        let videos = films(watched.map_err(catalogue)?);
        self.cut(account, videos, now).await
    }

    async fn cut(
        &self,
        account: &UserId,
        videos: Vec<VideoId>,
        now: UnixSeconds,
    ) -> Result<u64, Problem> {
        let cut = Cut {
            account: account.clone(),
            videos,
            why: Ending::NotEntitled,
        };
        let ended = self.catalog.sessions.cut(&cut, now).await;
        let ended = ended.map_err(catalogue)?;
        self.tell_of_ended().await?;
        Ok(ended)
    }

    /// How an account stands to films, by what is kept of it; of one that is kept elsewhere, by its sessions.
    async fn standing_of(&self, account: &UserId, terms: &[Terms]) -> Result<Standing, Problem> {
        if is_named(account) {
            return Ok(Standing::Named);
        }
        let issuers = &self.people.issuers;
        let mut vouched = terms.iter().filter_map(|terms| terms.issuer.as_deref());
        if vouched.any(|issuer| issuers.role(issuer) == Some(Role::Operator)) {
            return Ok(Standing::House);
        }
        let user = self.catalog.users.find(account).await.map_err(catalogue)?;
        Ok(match user {
            Some(user) if user.role == Role::Operator => Standing::House,
            _ => Standing::Viewer,
        })
    }

    async fn judge(
        &self,
        video: &Video,
        rules: &Rules,
        standing: Standing,
        account: Option<&UserId>,
        without: Option<&GrantId>,
    ) -> Result<Verdict, Problem> {
        let (privacy, audience) = (video.privacy, rules.audience);
        let now = self.clock.now();
        let mut grants = Vec::new();
        if entitlement::needs_grant(privacy, audience, standing)
            && let Some(account) = account
        {
            // A film is its publisher's.
            if standing == Standing::Viewer && self.owns(account, &video.id).await? {
                return Ok(Verdict::Free);
            }
            let of = self.catalog.entitlements.of(account, &video.id, now).await;
            grants = of.map_err(catalogue)?;
            grants.retain(|grant| Some(&grant.id) != without);
        }
        Ok(entitlement::decide(&Case {
            privacy,
            audience,
            standing,
            grants: &grants,
            now,
        }))
    }

    /// Whether a private film may be known of by an account: it was granted once, or will be.
    pub(crate) async fn knows(&self, account: &UserId, video: &Video) -> Result<bool, Problem> {
        if video.privacy != Privacy::Private || self.owns(account, &video.id).await? {
            return Ok(true);
        }
        let now = self.clock.now();
        let of = self.catalog.entitlements.of(account, &video.id, now).await;
        Ok(!of.map_err(catalogue)?.is_empty())
    }
}

/// Each film once.
fn films(watched: Vec<Watched>) -> Vec<VideoId> {
    let mut films: Vec<VideoId> = watched.into_iter().map(|one| one.video).collect();
    films.dedup();
    films
}
