//! What a member does beside serving: it says how it is, takes new settings, and renews its certificate.

use std::sync::Arc;
use std::time::Duration;

use contracts::fleet::{Announce, Heartbeat, Orders, Renew, Settings};
use contracts::id::NodeId;
use parking_lot::Mutex;
use runtime::clock::{Clock as _, System};
use runtime::internal::Health;
use runtime::life::Life;
use runtime::shutdown::Shutdown;
use tokio::sync::{Notify, watch};

use super::control::Control;
use super::figures::Figures;
use super::{Error, Fault, Folder};
use crate::config;
use crate::start::Running;

/// A node that has joined, while it serves.
pub struct Member {
    name: NodeId,
    folder: Folder,
    /// What is to be announced and was not yet.
    news: Mutex<Option<Announce>>,
    /// What was announced last.
    announced: Mutex<Option<Announce>>,
    /// Why nobody is sent here, as it was told last.
    unreached: Mutex<Option<String>>,
    /// There is something else in the folder.
    changed: Arc<Notify>,
    leaving: watch::Sender<bool>,
    said: watch::Sender<bool>,
}

/// What a member looks at.
struct Seen {
    figures: Figures,
    orders: Arc<tier::feed::Orders>,
    intake: Arc<tier::intake::Intake>,
    stops_s: Option<u64>,
}

impl Member {
    /// The member of a folder that has joined, which announces this.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(folder: Folder, announce: Option<Announce>) -> Result<Self, Error> {
        let known = folder.known()?;
        let known = known.ok_or_else(|| Error::NoNode(folder.path().to_owned()))?;
        Ok(Self {
            name: known.name,
            folder,
            announced: Mutex::new(announce.clone()),
            news: Mutex::new(announce),
            unreached: Mutex::default(),
            changed: Arc::default(),
            leaving: watch::Sender::new(false),
            said: watch::Sender::new(false),
        })
    }

    /// Tells whenever the folder says something else than before: the configuration is to be read again.
    #[must_use]
    pub fn changes(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Announces this with the next heartbeat, if it is something else.
    pub fn announce(&self, announce: Option<Announce>) {
        let mut announced = self.announced.lock();
        if *announced != announce {
            (*announced).clone_from(&announce);
            *self.news.lock() = announce;
        }
    }

    /// Looks after a node until it has answered its last request.
    pub fn look_after(self: &Arc<Self>, running: &mut Running, settings: &config::Settings) {
        let limits = &settings.tier.limits;
        // As many on each listener, QUIC among them.
        let listeners = 2 + u64::from(settings.plain.is_some());
        let most = listeners.saturating_mul(limits.max_connections as u64);
        let node = &running.serving.node;
        let stops = settings.tier.feed.purges.stops();
        let seen = Seen {
            figures: Figures::new(
                node.registry.clone(),
                settings.tier.cache_bytes as u64,
                most,
            ),
            orders: Arc::clone(&node.orders),
            intake: Arc::clone(&node.intake),
            stops_s: stops.map(|span| span.as_secs().saturating_add(1)),
        };
        let member = Arc::clone(self);
        let attend = |health, shutdown| member.attend(seen, health, shutdown);
        running.serving.beside(attend);
    }

    /// Says that the node ends soon, so that nobody new is sent there; returns when that was heard, or after a while.
    pub async fn leave(&self) {
        let mut said = self.said.subscribe();
        self.leaving.send_replace(true);
        if tokio::time::timeout(FAREWELL, said.wait_for(|said| *said))
            .await
            .is_err()
        {
            tracing::warn!("the control plane did not hear that this node ends");
        }
    }

    async fn attend(self: Arc<Self>, seen: Seen, health: Health, mut shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.beat_on(seen, &health) => {}
        }
    }

    async fn beat_on(&self, mut seen: Seen, health: &Health) {
        let (mut control, mut leaving) = (self.control(health), self.leaving.subscribe());
        loop {
            let is_leaving = *leaving.borrow_and_update();
            let beat = match &control {
                Some(control) => self.beat(control, &mut seen, is_leaving, health).await,
                None => None,
            };
            if is_leaving && beat.is_some() {
                self.said.send_replace(true);
            }
            let is_new = match &control {
                Some(control) => self.keep_up(control, beat.as_ref(), health).await,
                None => true,
            };
            if is_new {
                control = self.control(health);
                self.changed.notify_one();
            }
            let every = beat.map_or(EVERY, |orders| Duration::from_secs(orders.every_s));
            let pause = every.clamp(LEAST, MOST);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                Ok(()) = leaving.changed() => {}
            }
        }
    }

    fn control(&self, health: &Health) -> Option<Control> {
        let control = self.folder.known().map_err(|error| error.to_string());
        let control = control.and_then(|known| {
            let known = known.ok_or("the node's folder is empty")?;
            Control::of(&self.folder, known.settings.control).map_err(|error| error.to_string())
        });
        let fault = control.as_ref().err().cloned();
        health.degrade("membership", fault);
        control.ok()
    }

    /// Says how the node is; gives what it is to do.
    async fn beat(
        &self,
        control: &Control,
        seen: &mut Seen,
        draining: bool,
        health: &Health,
    ) -> Option<Orders> {
        let (load, cache, fill) = seen.figures.look(seen.intake.state(System.wall()));
        let announce = self.news.lock().clone();
        let heartbeat = Heartbeat {
            announce: announce.clone(),
            feed: seen.orders.feed(),
            applied: seen.orders.through(),
            stops_s: seen.stops_s,
            load,
            cache,
            fill,
            draining,
        };
        let answer = control.beat(&heartbeat).await;
        if announce.is_some() {
            let refused = match &answer {
                Ok(_) => None,
                Err(Fault::Refused {
                    status: 400, said, ..
                }) => Some(said.clone()),
                // It was not heard, and is said again.
                Err(_) => return self.heard(answer, health),
            };
            if let Some(why) = &refused {
                tracing::error!(
                    "what this node announces is refused, what it announced before counts: {why}"
                );
            }
            health.degrade("announcement", refused);
            let mut news = self.news.lock();
            if *news == announce {
                *news = None;
            }
        }
        self.heard(answer, health)
    }

    fn heard(&self, answer: Result<Orders, Fault>, health: &Health) -> Option<Orders> {
        match answer {
            Ok(orders) => {
                let drained = "an operator has it drained: nobody new is sent here".to_owned();
                health.degrade("fleet", orders.drain.then_some(drained));
                health.degrade("control plane", None);
                health.lose("membership", None);
                self.unreached(orders.unreached.clone(), health);
                Some(orders)
            }
            Err(fault) => {
                let why = match &fault {
                    // Any other refusal may be of something on the way, or of a control plane that has forgotten the
                    // whole fleet: nobody is better off when all of it stops at once.
                    Fault::Refused { kind, said, .. } if kind == DISMISSED => {
                        // Nobody is sent to it, and no parent is to answer it: whoever asks is better told elsewhere.
                        let name = &self.name;
                        let out = format!("{name} is no node of the house any more");
                        health.lose("membership", Some(out));
                        format!("it refuses {name}, which may have been dismissed: {said}")
                    }
                    fault => format!("{fault}; the node serves on with what it has"),
                };
                tracing::warn!("{why}");
                health.degrade("control plane", Some(why));
                None
            }
        }
    }

    /// Tells, once for each fault, why nobody is sent here.
    fn unreached(&self, why: Option<String>, health: &Health) {
        let mut told = self.unreached.lock();
        if *told == why {
            return;
        }
        match &why {
            Some(why) => tracing::warn!("no viewers are sent to {}: {why}", self.name),
            None => tracing::info!("{} is found where it says that it is reached", self.name),
        }
        health.degrade("reach", why.clone());
        *told = why;
    }

    /// Takes new settings, and a new certificate when half of this one's life is over; whether there is either.
    async fn keep_up(&self, control: &Control, beat: Option<&Orders>, health: &Health) -> bool {
        let mut is_new = false;
        let version = beat.map(|orders| orders.settings_version.as_str());
        let known = self.folder.known().ok().flatten();
        let has = known.as_ref().map(|known| known.settings.version.as_str());
        if version.is_some() && version != has {
            let taken = match control.settings().await {
                Ok(settings) => self.take(control, &settings).await,
                Err(fault) => Err(fault.to_string()),
            };
            is_new |= self.tell("settings", taken, health);
        }
        let now = System.now();
        let life = self.folder.life();
        if beat.is_some() && life.is_none_or(|life| life.is_half_over(now)) {
            let renewed = self.renew(control).await;
            is_new |= self.tell("certificate", renewed, health);
        } else if life.is_some_and(|life| !life.holds(now)) {
            let why = "it is not valid now: either this machine's clock is wrong, or the node was cut off for too long \
                       and has to join anew, with another token and an empty folder";
            health.degrade("certificate", Some(why.to_owned()));
        }
        is_new
    }

    /// Keeps other settings, unless nobody answers where they say that the control plane is from now on: with an address
    /// that is wrong, the whole fleet would be cut off, and could not be told the right one.
    async fn take(&self, control: &Control, settings: &Settings) -> Result<(), String> {
        if !control.is_at(&settings.control) {
            let there = Control::of(&self.folder, settings.control.clone());
            let there = there.map_err(|error| error.to_string())?;
            let answer = there.settings().await;
            answer.map_err(|fault| format!("it is said to be at {}: {fault}", settings.control))?;
        }
        let kept = self.folder.keep_settings(settings);
        kept.map_err(|error| error.to_string())
    }

    async fn renew(&self, control: &Control) -> Result<(), String> {
        let csr = self.folder.request().map_err(|error| error.to_string())?;
        let renewed = control.renew(&Renew { csr }).await;
        let renewed = renewed.map_err(|fault| fault.to_string())?;
        if Life::of_pem(&renewed.certificate).is_none() {
            return Err("what came is no certificate".to_owned());
        }
        let kept = self.folder.keep_certificate(&renewed);
        kept.map_err(|error| error.to_string())
    }

    fn tell(&self, part: &str, taken: Result<(), String>, health: &Health) -> bool {
        match &taken {
            Ok(()) => tracing::info!("{} took new {part} from the control plane", self.name),
            Err(why) => tracing::warn!("{} keeps the {part} that it has: {why}", self.name),
        }
        let is_taken = taken.is_ok();
        health.degrade(part, taken.err());
        is_taken
    }
}

/// The refusal of a node that was dismissed, or whose place another has taken.
const DISMISSED: &str = "node-refused";
/// How often a heartbeat is sent where nobody says.
const EVERY: Duration = Duration::from_secs(5);

/// The shortest and the longest time between two that a control plane may wish.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(60);

/// How long the last word may take.
const FAREWELL: Duration = Duration::from_secs(3);
