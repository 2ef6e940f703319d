//! Starting and stopping ingest.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use catalog::Catalog;
use config::{Problem, Problems};
use prometheus::Registry;
use runtime::{
    clock::Clock,
    internal::{self, Health},
    listen,
    operator::Operator,
    shutdown::{Shutdown, Trigger},
};
use store::Store;
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::MissedTickBehavior,
};

use crate::{
    Error,
    api::{self, App, caller::Door},
    config::Settings,
    erasing::Eraser,
    jobs::{self, Queue, worker::Worker},
    media::{
        child::{self, End, Task},
        codec::Codec,
        confine::Strength,
        program,
    },
    metrics::Metrics,
    pipeline::{self, Pipeline},
    replaced::{self, retiring::Retirer},
    resting::Resting,
    schema::Migrations,
    texts::{self, Publishing},
    tus::{self, Places},
    upload::{self, Uploads, abandon::Sweep, quota::Quotas, streams::Streams, turn::Turns},
    vitals::Vitals,
};

/// An ingest that listens and works. Dropping it stops it at once.
pub struct Running {
    /// Where the upload API is.
    pub listen: SocketAddr,
    /// Where metrics and health are.
    pub internal: SocketAddr,
    trigger: Trigger,
    tasks: JoinSet<()>,
    drain: Duration,
}

/// Opens the store and the catalogue, looks for ffmpeg, and listens; answers from when it returns.
///
/// # Errors
/// [`Error`] names the address, the file, the program or the engine that cannot be used.
pub async fn start(settings: Settings, clock: Arc<dyn Clock>) -> Result<Running, Error> {
    let registry = Registry::new();
    let metrics = Metrics::new(&registry)?;
    let operator = Operator::read(settings.operator_key.as_deref())?;
    let door = Door::new(
        operator,
        settings.allowed_origins.clone(),
        settings.control.as_deref(),
    )?;
    let store = store::open(&settings.store)?;
    // One that only does not answer may come back, and until then health says so.
    if let Err(absent @ store::Error::Absent { .. }) = store::look(&*store).await {
        return Err(absent.into());
    }
    let catalog = catalog::open(&settings.catalog, Arc::clone(&clock)).await?;
    catalog.migrate::<Migrations>().await?;
    std::fs::create_dir_all(&settings.work).map_err(|source| file(&settings.work, source))?;
    look_for_tools(&settings).await?;
    let (listener, listen) = bind(settings.listen).await?;
    let (inner, internal) = bind(settings.internal).await?;

    let parts = Parts::new(store, catalog, &settings, clock, metrics);
    let process = parts.attend(settings.workers).await?;
    let app = Arc::new(parts.app(&settings, listen, door));
    let router = api::router(Arc::clone(&app));
    let worker = parts.worker(&settings);

    let (trigger, shutdown) = Trigger::new();
    let health = Health::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(listen::serve(
        listener,
        router,
        settings.port,
        shutdown.clone(),
    ));
    tasks.spawn(tus::follow(app, shutdown.clone()));
    for _ in 0..settings.workers {
        tasks.spawn(worker.clone().run(shutdown.clone()));
    }
    let own = (process, settings.workers);
    let retirer = parts.retirer(settings.keep_replaced);
    let clock = Arc::clone(&parts.clock);
    tasks.spawn(sweep_rooms(settings.work, clock, shutdown.clone()));
    tasks.spawn(parts.vitals(health.clone()).watch(shutdown.clone()));
    tasks.spawn(parts.pulse(own, settings.patience.lease, retirer, shutdown.clone()));
    tasks.spawn(async move {
        if let Err(error) = internal::serve(inner, registry, health, shutdown).await {
            tracing::error!(%error, "the internal listener failed");
        }
    });
    tracing::info!(%listen, %internal, workers = settings.workers, "ingest listens on {listen}");
    Ok(Running {
        listen,
        internal,
        trigger,
        tasks,
        drain: settings.drain,
    })
}

/// Reads the secrets that the settings name, as [`start`] does, looks at the folders and the programs that it would use,
/// and opens nothing.
///
/// # Errors
/// What is wrong with each of them, by its key.
pub fn inspect(settings: &Settings) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    problems.take("store", store::inspect(&settings.store));
    problems.take("catalog", catalog::inspect(&settings.catalog));
    problems.take("work", runtime::folder::look(&settings.work));
    let tools = &settings.tools;
    problems.take("ffmpeg", program::inspect(&tools.ffmpeg, &tools.codecs));
    problems.take("ffprobe", program::inspect(&tools.ffprobe, &[]));
    problems.take(
        "operator_key",
        Operator::read(settings.operator_key.as_deref()),
    );
    problems.or(())
}

impl Running {
    /// Stops listening, lets requests under way finish for some seconds, gives jobs back, and ends.
    pub async fn stop(mut self) {
        self.trigger.fire();
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.drain, drained).await.is_err() {
            tracing::warn!("some requests were cut off");
        }
    }
}

/// What the API, the workers and the pulse share.
struct Parts {
    store: Arc<dyn Store>,
    publishing: Publishing,
    uploads: Arc<dyn Uploads>,
    streams: Arc<dyn Streams>,
    quotas: Arc<dyn Quotas>,
    turns: Arc<Turns>,
    catalog: Catalog,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    wake: Arc<Notify>,
    /// How many workers the house has.
    workers: Arc<AtomicU64>,
}

impl Parts {
    fn new(
        store: Arc<dyn Store>,
        catalog: Catalog,
        settings: &Settings,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let wake = Arc::new(Notify::new());
        let queue: Arc<dyn Queue> = Arc::new(jobs::sql::Sql::new(catalog.connection().clone()));
        let uploads = upload::sql::Sql::new(catalog.connection().clone()).within(settings.quota);
        let streams = upload::streams::sql::Sql::new(catalog.connection().clone());
        let streams = streams.within(settings.quota);
        let quotas = upload::quota::sql::Sql::new(catalog.connection().clone());
        let publishing = Publishing {
            store: Arc::clone(&store),
            texts: Arc::new(texts::sql::Sql::new(catalog.clone(), Arc::clone(&clock))),
            replacements: Arc::new(replaced::sql::Sql::new(catalog.connection().clone())),
        };
        Self {
            store,
            publishing,
            uploads: Arc::new(uploads),
            streams: Arc::new(streams),
            quotas: Arc::new(quotas),
            turns: Arc::default(),
            catalog,
            queue,
            clock,
            metrics,
            wake,
            workers: Arc::default(),
        }
    }

    fn app(&self, settings: &Settings, listen: SocketAddr, door: Door) -> App {
        let public_base = settings.public_base.clone();
        App {
            uploads: Arc::clone(&self.uploads),
            streams: Arc::clone(&self.streams),
            places: Places::default(),
            turns: Arc::clone(&self.turns),
            videos: Arc::clone(&self.catalog.videos),
            queue: Arc::clone(&self.queue),
            store: Arc::clone(&self.store),
            publishing: self.publishing.clone(),
            texts: Arc::new(Semaphore::new(api::TEXTS_AT_ONCE)),
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
            wake: Arc::clone(&self.wake),
            limits: settings.limits,
            upload_ttl: settings.upload_ttl,
            quotas: Arc::clone(&self.quotas),
            quota: settings.quota,
            public_base: public_base.unwrap_or_else(|| format!("http://{listen}")),
            control_base: settings.control_base.clone(),
            channels: Arc::clone(&self.catalog.channels),
            door,
            allowed_origins: settings.allowed_origins.clone(),
            random: |buffer| getrandom::fill(buffer).map_err(|_| Error::Random),
        }
    }

    fn worker(&self, settings: &Settings) -> Worker {
        Worker {
            queue: Arc::clone(&self.queue),
            videos: Arc::clone(&self.catalog.videos),
            pipeline: Pipeline {
                store: Arc::clone(&self.store),
                publishing: self.publishing.clone(),
                videos: Arc::clone(&self.catalog.videos),
                queue: Arc::clone(&self.queue),
                tools: settings.tools.clone(),
                work: settings.work.clone(),
                metrics: self.metrics.clone(),
                workers: Arc::clone(&self.workers),
            },
            feed: Arc::clone(&self.catalog.feed),
            clock: Arc::clone(&self.clock),
            patience: settings.patience,
            metrics: self.metrics.clone(),
            wake: Arc::clone(&self.wake),
        }
    }

    /// Says that this process is there, under a name that it draws.
    async fn attend(&self, workers: u32) -> Result<String, Error> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|_| Error::Random)?;
        let process = hex::encode(name);
        self.count_workers(&process, workers).await?;
        Ok(process)
    }

    async fn count_workers(&self, process: &str, workers: u32) -> Result<(), Error> {
        let all = self.queue.attend(process, workers, REMEMBERED).await?;
        self.workers.store(all, Ordering::Relaxed);
        self.metrics.workers(all);
        Ok(())
    }

    fn sweep(&self) -> Sweep {
        Sweep {
            uploads: Arc::clone(&self.uploads),
            publishing: self.publishing.clone(),
            turns: Arc::clone(&self.turns),
            metrics: self.metrics.clone(),
            resting: Resting::default(),
        }
    }

    fn retirer(&self, keep: Duration) -> Retirer {
        Retirer {
            replacements: Arc::clone(&self.publishing.replacements),
            publishing: self.publishing.clone(),
            feed: Arc::clone(&self.catalog.feed),
            nodes: Arc::clone(&self.catalog.nodes),
            keep,
        }
    }

    fn vitals(&self, health: Health) -> Vitals {
        Vitals {
            catalog: self.catalog.clone(),
            store: Arc::clone(&self.store),
            queue: Arc::clone(&self.queue),
            health,
        }
    }

    /// Looks after what nobody asks for: the queue's length, uploads that nobody finishes, films that
    /// were deleted or replaced.
    async fn pulse(
        self,
        own: (String, u32),
        lease: Duration,
        retirer: Retirer,
        mut shutdown: Shutdown,
    ) {
        let sweep = self.sweep();
        let eraser = Eraser {
            videos: Arc::clone(&self.catalog.videos),
            publishing: self.publishing.clone(),
            feed: Arc::clone(&self.catalog.feed),
            queue: Arc::clone(&self.queue),
            uploads: Arc::clone(&self.uploads),
            // A worker learns of it with its next beat.
            notice: lease / 3,
            resting: Resting::default(),
        };
        let mut ticks = tokio::time::interval(PULSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                _ = ticks.tick() => {}
            }
            match self.queue.counts().await {
                Ok(counts) => self.metrics.queue(counts),
                Err(error) => tracing::warn!(%error, "cannot count the jobs"),
            }
            if let Err(error) = self.count_workers(&own.0, own.1).await {
                tracing::warn!(%error, "cannot count the workers");
            }
            if let Err(error) = sweep.run(self.clock.now()).await {
                tracing::warn!(%error, "cannot look for uploads whose time is over");
            }
            if let Err(error) = eraser.run(self.clock.now()).await {
                tracing::warn!(%error, "cannot look for films that were deleted");
            }
            if let Err(error) = retirer.run(self.clock.now()).await {
                tracing::warn!(%error, "cannot look for what was replaced");
            }
        }
    }
}

/// Removes what killed workers left of their folders, at the start and now and then.
async fn sweep_rooms(work: PathBuf, clock: Arc<dyn Clock>, mut shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(ROOMS);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = ticks.tick() => {}
        }
        let (work, now) = (work.clone(), clock.now());
        let swept = tokio::task::spawn_blocking(move || pipeline::sweep_rooms(&work, now)).await;
        if let Ok(Err(error)) = swept {
            tracing::warn!(%error, "cannot look for what killed workers left");
        }
    }
}

/// What is missing of ffmpeg is told at the start, not by the first film.
async fn look_for_tools(settings: &Settings) -> Result<(), Error> {
    let tools = &settings.tools;
    for (program, codecs) in [(&tools.ffmpeg, &*tools.codecs), (&tools.ffprobe, &[][..])] {
        let limits = child::Limits {
            time: Duration::from_secs(30),
            ..tools.limits
        };
        let task = Task {
            program,
            arguments: &["-hide_banner".into(), "-version".into()],
            folder: &settings.work,
            reads: &[],
        };
        let looked = look_at(task, limits, codecs).await;
        looked.map_err(|source| Error::Program {
            program: program.clone(),
            source,
        })?;
        tell_of_confinement(task, limits).await;
    }
    Ok(())
}

/// Whether a program that tells its version by this task is of use, and encodes what is asked for, where anything is.
async fn look_at(task: Task<'_>, limits: child::Limits, codecs: &[Codec]) -> io::Result<()> {
    program::judge(&told(task, limits).await?).map_err(io::Error::other)?;
    if codecs.is_empty() {
        return Ok(());
    }
    let arguments = &["-hide_banner".into(), "-encoders".into()];
    let encoders = told(Task { arguments, ..task }, limits).await?;
    program::encodes(&encoders, codecs).map_err(io::Error::other)
}

/// What a program says when it is run.
async fn told(task: Task<'_>, limits: child::Limits) -> io::Result<String> {
    let mut said = Vec::new();
    let end = child::run(task, limits, |bytes| said.extend_from_slice(bytes)).await?;
    match end {
        End::Done(_) => Ok(String::from_utf8_lossy(&said).into_owned()),
        End::Failed(why) if why.is_empty() => Err(io::Error::other(child::SILENT)),
        End::Failed(why) => Err(io::Error::other(why)),
        end => Err(io::Error::other(format!("{end:?}"))),
    }
}

/// What is missing of the confinement is said loudly, once for each program.
async fn tell_of_confinement(task: Task<'_>, limits: child::Limits) {
    let program = task.program.display();
    match child::strength(task, limits).await.map(Strength::lack) {
        Ok(None) => tracing::info!(%program, "{program} is confined to the film it works on"),
        Ok(Some(lack)) => tracing::error!(%program, "{program} is not fully confined: {lack}"),
        Err(error) => tracing::error!(%program, %error, "cannot tell how {program} is confined"),
    }
}

fn file(path: &Path, source: io::Error) -> Error {
    Error::File {
        path: path.to_owned(),
        source,
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

const PULSE: Duration = Duration::from_secs(2);
/// How often it is looked for folders of killed workers.
const ROOMS: Duration = Duration::from_secs(600);
/// How long a process that says nothing counts as there.
const REMEMBERED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use runtime::clock::System;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;
    use crate::Config;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_ffmpeg_that_lacks_an_encoder_is_told_of_before_the_first_film() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ffmpeg");
        let script = "#!/bin/sh\ncase \"$2\" in -version) echo 'ffmpeg version 7.1 Copyright';; \
                      *) echo ' A....D aac AAC';; esac\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut settings = settings(folder.path());
        settings.tools.ffmpeg = program;
        let refused = start(settings, Arc::new(System)).await.err().unwrap();
        let told = refused.to_string();
        assert!(told.contains("was built without libx264"), "{told}");
    }

    fn settings(folder: &Path) -> Settings {
        let at = |name: &str| folder.join(name).display().to_string();
        let config = Config {
            listen: "127.0.0.1:0".to_owned(),
            internal: "127.0.0.1:0".to_owned(),
            store: format!("file://{}", at("store")),
            catalog: format!("sqlite://{}", at("catalog.db")).into(),
            work: at("work"),
            workers: 0,
            ..Config::default()
        };
        config.check().unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_never_ends_a_request_header_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path());
        assert!(settings.port.header <= Duration::from_secs(60));
        assert!(settings.port.write <= Duration::from_secs(60));
        settings.port.header = Duration::from_millis(50);
        let running = start(settings, Arc::new(System)).await.unwrap();
        let mut stream = TcpStream::connect(running.listen).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        let mut answer = Vec::new();
        let closed = stream.read_to_end(&mut answer);
        let closed = tokio::time::timeout(Duration::from_secs(20), closed).await;
        assert!(closed.is_ok(), "it is still open");
        running.stop().await;
    }
}
