//! The task that opens a disk, writes to it, and comes back to it when it has failed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

use super::log::Log;
use super::queue::{Forget, Job};
use super::recovery::recover;
use super::volume::{State, Volume};

/// Keeps a disk until its queue is closed. After a failure it is tried again every `retry`.
pub(super) async fn keep(volume: Arc<Volume>, retry: Duration) {
    loop {
        let disk = Arc::clone(&volume);
        volume.queue.unsettle();
        match blocking(move || recover(&disk)).await {
            Ok(log) => {
                volume.queue.settle(&volume.index);
                volume.become_state(State::Serving(None));
                // What failed before it was opened anew is past.
                tokio::select! {
                    biased;
                    () = volume.fault.notified() => {}
                    () = std::future::ready(()) => {}
                }
                if matches!(
                    tend(&volume, Arc::new(Mutex::new(log)), retry).await,
                    End::Closed
                ) {
                    break;
                }
                volume.queue.pause();
                let why = "too many reads failed one after another";
                volume.become_state(State::Aside(why.to_owned()));
            }
            Err(error) => {
                volume.figures.write_errors.fetch_add(1, Ordering::Relaxed);
                volume.queue.pause();
                volume.become_state(State::Aside(error.to_string()));
            }
        }
        if wait(&volume, retry).await {
            break;
        }
    }
    volume.become_state(State::Closed);
    volume.index.clear();
}

enum End {
    Closed,
    /// Nothing can be read.
    Unreadable,
}

enum Fault {
    Unreadable,
    Write(io::Error),
}

/// Serves an open disk; where it cannot be written, it is read.
async fn tend(volume: &Arc<Volume>, log: Arc<Mutex<Log>>, retry: Duration) -> End {
    loop {
        match work(volume, &log).await {
            Ok(()) => {
                let sealed = with(&log, Log::seal).await;
                if let Err(error) = sealed {
                    tracing::warn!(disk = %volume.name, "cannot seal the last segment: {error}");
                }
                return End::Closed;
            }
            Err(Fault::Unreadable) => return End::Unreadable,
            Err(Fault::Write(error)) => {
                volume.figures.write_errors.fetch_add(1, Ordering::Relaxed);
                volume.queue.pause();
                volume.become_state(State::ReadOnly(error.to_string()));
            }
        }
        tokio::select! {
            closed = wait(volume, retry) => if closed { return End::Closed },
            () = volume.fault.notified() => return End::Unreadable,
        }
    }
}

/// Does job after job until the queue is closed.
async fn work(volume: &Arc<Volume>, log: &Arc<Mutex<Log>>) -> Result<(), Fault> {
    with(log, Log::probe).await.map_err(Fault::Write)?;
    while let Some(owed) = volume.queue.owed_or_accept() {
        perform(volume, log, Job::Forget(owed)).await?;
    }
    loop {
        let full = with(log, |log| Ok(log.full.then(|| log.segments())));
        let full = full.await.map_err(Fault::Write)?;
        let note = full.map(|segments| {
            let wanted = volume.shape.slots;
            format!("its file system is full at {segments} of {wanted} segments")
        });
        volume.become_state(State::Serving(note));
        let job = tokio::select! {
            biased;
            () = volume.fault.notified() => return Err(Fault::Unreadable),
            job = volume.queue.next() => job,
        };
        let Some(job) = job else { return Ok(()) };
        perform(volume, log, job).await?;
    }
}

async fn perform(volume: &Volume, log: &Arc<Mutex<Log>>, mut job: Job) -> Result<(), Fault> {
    let done = with(log, move |log| {
        let result = log.perform(&mut job);
        Ok((job, result))
    });
    let (job, result) = done.await.map_err(Fault::Write)?;
    result.map_err(|error| {
        match job {
            Job::Forget(purges) => volume.queue.owe(purges),
            // What it was to replace stays gone.
            Job::Write(_, object) => volume.queue.owe(vec![Forget::key(object.key)]),
            Job::Renew(..) => {}
        }
        Fault::Write(error)
    })
}

/// Waits until it is time to try again; tells whether the disk is to be closed instead.
async fn wait(volume: &Volume, retry: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(retry) => false,
        () = volume.queue.closed() => true,
    }
}

async fn with<T: Send + 'static>(
    log: &Arc<Mutex<Log>>,
    work: impl FnOnce(&mut Log) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let log = Arc::clone(log);
    blocking(move || work(&mut log.lock())).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)?
}
