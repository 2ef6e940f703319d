//! `millrace edge`: an edge by its configuration alone, or one that has joined a house.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use config::Problem;
use contracts::fleet::JoinToken;
use edge::config::{Config, Settings};
use edge::member::{Folder, Member, join};
use runtime::clock::System;
use tokio::sync::Notify;

use crate::reload::Held;
use crate::roles::{Source, announce, begin_log, listen, supervisor};
use crate::succession::{End, Process};
use crate::{USAGE, cli};

/// Runs an edge until it is asked to stop.
pub(crate) async fn run(options: &cli::Edge) -> anyhow::Result<ExitCode> {
    begin_log(&options.role);
    let path = folder(options);
    let folder = match &path {
        None => None,
        // Whether it may join is the control plane's to say.
        Some(path) if options.role.check && !path.exists() => None,
        Some(path) => match joined(options, path).await {
            Ok(folder) => Some(folder),
            Err(code) => return Ok(code),
        },
    };
    let adapt = |config: &mut Config| match (&folder, &path) {
        (Some(folder), _) => folder
            .adapt(config)
            .map_err(|error| vec![Problem::new("", error.to_string())]),
        (None, Some(path)) => {
            Folder::prepare(path, config);
            Ok(())
        }
        (None, None) => Ok(()),
    };
    let source = Source {
        options: &options.role,
        role: "edge",
        adapt: &adapt,
        check: Config::check,
        inspect: edge::inspect,
    };
    let (config, settings) = match source.start() {
        Ok(started) => started,
        Err(code) => return Ok(code),
    };
    serve(source, config, settings, folder.clone()).await?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(
    source: Source<'_, Config, Settings>,
    config: Config,
    settings: Settings,
    folder: Option<Folder>,
) -> anyhow::Result<()> {
    let mut process = Process::new(source.options, supervisor())?;
    let running = edge::start_after(settings.clone(), Arc::new(System), process.elder()).await;
    let mut running = source.named(&settings, running)?;
    let member = folder.map(|folder| Member::open(folder, settings.announce.clone()));
    let member = member.transpose()?.map(Arc::new);
    let changed = member
        .as_ref()
        .map_or_else(Arc::<Notify>::default, |member| member.changes());
    if let Some(member) = &member {
        member.look_after(&mut running, &settings);
    }
    let at = listen([
        ("https", Some(running.https)),
        ("http", running.plain),
        ("internal", Some(running.internal)),
    ]);
    announce(at)?;
    let mut held = Held::new(source, config, edge::config::reloaded(), &running);
    let health = &running.serving.health;
    let renew = |running: &edge::Running, settings: &Settings| {
        running.renew(settings)?;
        if let Some(member) = &member {
            member.announce(settings.announce.clone());
        }
        Ok::<(), edge::Error>(())
    };
    let reload = || held.reload(renew, health);
    let end = process.keep(&running.serving, reload, &changed).await?;
    if let (End::Stop(_), Some(member)) = (&end, &member) {
        member.leave().await;
    }
    end.of(running.serving).await;
    Ok(())
}

/// Where the node's membership is kept, if it is to be a member.
fn folder(options: &cli::Edge) -> Option<PathBuf> {
    let usual = || options.join.as_ref().map(|_| PathBuf::from(USUAL));
    options.state.clone().or_else(usual)
}

/// The folder of a node that has joined, now if not before; or the code to exit with.
async fn joined(options: &cli::Edge, path: &Path) -> Result<Folder, ExitCode> {
    let failed = |error: &dyn std::fmt::Display, code: ExitCode| {
        eprintln!("error: {error}");
        code
    };
    let usage = ExitCode::from(USAGE);
    let token = options.join.as_deref().map(JoinToken::parse).transpose();
    let folder = Folder::open(path).map_err(|error| failed(&error, ExitCode::FAILURE))?;
    let has_joined = folder
        .has_joined()
        .map_err(|error| failed(&error, ExitCode::FAILURE))?;
    if has_joined {
        return Ok(folder);
    }
    let token = token.map_err(|error| failed(&format!("--join: {error}"), usage))?;
    // All of the configuration, and of the files that it names, is to be right before the token is used up.
    let source = Source {
        options: &options.role,
        role: "edge",
        adapt: &|config| {
            Folder::prepare(folder.path(), config);
            Ok(())
        },
        check: Config::check,
        inspect: edge::inspect,
    };
    let (_, settings) = source.start()?;
    let name = join(&folder, token.as_ref(), settings.announce.as_ref()).await;
    let name = name.map_err(|error| failed(&error, ExitCode::FAILURE))?;
    tracing::info!("joined as {name}");
    Ok(folder)
}

/// Where it is kept unless somebody says otherwise.
const USUAL: &str = "/var/lib/millrace/node";
