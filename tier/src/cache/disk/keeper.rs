//! The task that opens a disk, writes to it, and comes back to it when it has failed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::log::Log;
use super::queue::{Forget, Job};
use super::recovery::recover;
use super::volume::{State, Volume};

/// Whose the directories are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenure {
    /// This process's.
    Ours,
    /// Another process's, who may fail: what was written is read meanwhile.
    Lent,
    /// Another process's for good: what is being read is read to its end.
    Given,
}

/// Keeps a disk until its queue is closed, or the disk is given away. After a failure it is tried again every `retry`.
pub(super) async fn keep(volume: Arc<Volume>, retry: Duration, tenure: watch::Receiver<Tenure>) {
    let mut tenure = tenure;
    loop {
        if !is_ours(&volume, &mut tenure).await {
            break;
        }
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
                let log = Arc::new(Mutex::new(log));
                match tend(&volume, log, retry, &mut tenure).await {
                    End::Closed => break,
                    End::Lent => {
                        volume.queue.pause();
                        volume.become_state(State::Lent);
                        continue;
                    }
                    End::Unreadable => {}
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
        if wait(&volume, retry, &mut tenure).await {
            break;
        }
    }
    volume.become_state(State::Closed);
    volume.index.clear();
    volume.let_go();
}

/// Waits while the disk is lent; tells whether it is this process's then, to be kept open.
async fn is_ours(volume: &Volume, tenure: &mut watch::Receiver<Tenure>) -> bool {
    volume
        .at_rest
        .send_replace(*tenure.borrow() == Tenure::Lent);
    let settled = tenure.wait_for(|tenure| *tenure != Tenure::Lent);
    let ours = tokio::select! {
        // Without one who could say more, it is closed.
        settled = settled => settled.is_ok_and(|tenure| *tenure == Tenure::Ours),
        () = volume.queue.closed(), if *volume.at_rest.borrow() => false,
    };
    volume.at_rest.send_replace(!ours);
    ours
}

async fn no_longer_ours(tenure: &mut watch::Receiver<Tenure>) {
    // An error says that the disks were dropped: their queues are not closed then, and nothing more comes.
    if tenure
        .wait_for(|tenure| *tenure != Tenure::Ours)
        .await
        .is_err()
    {
        std::future::pending::<()>().await;
    }
}

enum End {
    Closed,
    /// Another process is to have it.
    Lent,
    /// Nothing can be read.
    Unreadable,
}

enum Fault {
    Unreadable,
    Lent,
    Write(io::Error),
}

/// Serves an open disk; where it cannot be written, it is read.
async fn tend(
    volume: &Arc<Volume>,
    log: Arc<Mutex<Log>>,
    retry: Duration,
    tenure: &mut watch::Receiver<Tenure>,
) -> End {
    loop {
        match work(volume, &log, tenure).await {
            Ok(()) => {
                let sealed = with(&log, Log::seal).await;
                if let Err(error) = sealed {
                    tracing::warn!(disk = %volume.name, "cannot seal the last segment: {error}");
                }
                return End::Closed;
            }
            Err(Fault::Unreadable) => return End::Unreadable,
            Err(Fault::Lent) => return lend(volume, &log).await,
            Err(Fault::Write(error)) => {
                volume.figures.write_errors.fetch_add(1, Ordering::Relaxed);
                volume.queue.pause();
                volume.become_state(State::ReadOnly(error.to_string()));
            }
        }
        tokio::select! {
            closed = wait(volume, retry, tenure) => if closed { return End::Closed },
            () = volume.fault.notified() => return End::Unreadable,
        }
    }
}

/// Writes what waits, and leaves the directory so that another process finds everything in it.
async fn lend(volume: &Volume, log: &Arc<Mutex<Log>>) -> End {
    while let Some(job) = volume.queue.finish() {
        if perform(volume, log, job).await.is_err() {
            break;
        }
    }
    let disk = volume.name.clone();
    let lent = with(log, move |log| {
        if let Err(error) = log.seal() {
            tracing::warn!(disk, "cannot seal the last segment: {error}");
        }
        for segment in &log.sealed {
            if let Err(error) = segment.file.hold() {
                tracing::warn!(disk, "cannot hold a segment: {error}");
            }
        }
        Ok(())
    });
    // It cannot fail, and what it could not do it has said.
    let _ = lent.await;
    End::Lent
}

/// Does job after job until the queue is closed.
async fn work(
    volume: &Arc<Volume>,
    log: &Arc<Mutex<Log>>,
    tenure: &mut watch::Receiver<Tenure>,
) -> Result<(), Fault> {
    if *tenure.borrow() != Tenure::Ours {
        return Err(Fault::Lent);
    }
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
            () = no_longer_ours(tenure) => return Err(Fault::Lent),
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
async fn wait(volume: &Volume, retry: Duration, tenure: &mut watch::Receiver<Tenure>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(retry) => false,
        () = no_longer_ours(tenure) => false,
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
