//! Confinement of encoders: what they start with can reach neither the network nor files that are not theirs.
//!
//! Two of the kernel's own means are used, which need no privilege and which nothing takes off again:
//! Landlock for files, TCP, signals and abstract sockets; seccomp for every other kind of socket and
//! for calls that an encoder has no use for. Both hold for a thread and all that it starts.

use std::{collections::BTreeMap, io, path::Path};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::Pid;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// What may be reached besides the system's own programs and libraries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room<'a> {
    /// The program; what lies in its folder may be read and run.
    pub(super) program: &'a Path,
    /// The folder in which files are read, made, changed and removed.
    pub(super) folder: &'a Path,
    /// Files and folders that are only read.
    pub(super) reads: &'a [&'a Path],
    /// The group of processes that may be joined, and not left.
    pub(super) group: Pid,
}

/// How much of a confinement the kernel provides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// Files, network and signals.
    Whole,
    /// The kernel's Landlock is older: files, and by seccomp the network.
    Files,
    /// There is no Landlock: by seccomp the network alone.
    Network,
}

impl Strength {
    /// What an operator must know, where something is missing.
    #[must_use]
    pub const fn lack(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Files => Some(
                "this kernel's Landlock is older than 6.12: encoders may signal other processes of ingest's user, and before 6.2 empty its files",
            ),
            Self::Network => Some(
                "this kernel has no Landlock, or hides it: encoders can read and write every file that ingest can",
            ),
        }
    }
}

/// Confines the calling thread, and all that it starts from now on, for good.
///
/// # Errors
/// When a means that is there cannot be used: nothing must be started then.
pub(super) fn enter(room: Room<'_>) -> io::Result<Strength> {
    let strength = files(room).map_err(io::Error::other)?;
    let calls = calls(room.group).map_err(io::Error::other)?;
    seccompiler::apply_filter(&calls).map_err(io::Error::other)?;
    Ok(strength)
}

fn files(room: Room<'_>) -> Result<Strength, landlock::RulesetError> {
    let run = AccessFs::from_read(LANDLOCK);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let own =
        read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    // A bare name is looked up in the system's folders, which are allowed anyhow, and never in the working directory.
    let program = room.program.is_absolute().then_some(room.program);
    let program = program.and_then(|program| std::fs::canonicalize(program).ok());
    let programs = program.as_deref().and_then(Path::parent);
    let ruleset = SYSTEM
        .iter()
        .map(Path::new)
        .chain(programs)
        .try_fold(ruleset, |set, path| allow(set, path, run))?;
    let facts = FACTS.iter().map(Path::new);
    let ruleset = facts
        .chain(room.reads.iter().copied())
        .try_fold(ruleset, |set, path| allow(set, path, read))?;
    let ruleset = allow(
        ruleset,
        Path::new("/dev/null"),
        AccessFs::ReadFile | AccessFs::WriteFile,
    )?;
    let status = allow(ruleset, room.folder, own)?.restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Strength::Whole,
        RulesetStatus::PartiallyEnforced => Strength::Files,
        RulesetStatus::NotEnforced => Strength::Network,
    })
}

/// Allows what is there; what is not cannot be reached anyhow.
fn allow(
    ruleset: landlock::RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<landlock::RulesetCreated, landlock::RulesetError> {
    let Ok(file) = PathFd::new(path) else {
        return Ok(ruleset);
    };
    // A right over folders means nothing at a file, and is refused there.
    let access = if path.is_dir() {
        access
    } else {
        access & AccessFs::from_file(LANDLOCK)
    };
    ruleset.add_rule(PathBeneath::new(file, access))
}

fn calls(group: Pid) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut denied: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    // The same call under the numbers of 32-bit pointers.
    let numbers = |call: i64| [call, call | X32];
    for call in DENIED.into_iter().chain(DENIED_HERE.iter().copied()) {
        denied.extend(numbers(call).map(|call| (call, Vec::new())));
    }
    for (call, argument) in OF_OTHERS {
        let rule = unless(argument, 0)?;
        denied.extend(numbers(call).map(|call| (call, vec![rule.clone()])));
    }
    let group = group.as_raw_nonzero().get().unsigned_abs();
    let another_group = vec![unless(0, 0)?, unless(1, group.into())?];
    denied.extend(numbers(libc::SYS_setpgid).map(|call| (call, another_group.clone())));
    SeccompFilter::new(
        denied,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        ARCH,
    )?
    .try_into()
}

/// What holds for calls whose argument is not this.
fn unless(argument: u8, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let other = SeccompCmpOp::Ne;
    let other = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, other, value)?;
    SeccompRule::new(vec![other])
}

/// The newest Landlock that is made use of (Linux 6.12); older ones hold what they know.
const LANDLOCK: ABI = ABI::V6;
/// Where the system's programs and libraries are.
const SYSTEM: [&str; 9] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/etc/ld.so.cache",
    "/etc/alternatives",
];
/// What tells of the machine, not of its users.
const FACTS: [&str; 8] = [
    "/dev/zero",
    "/dev/urandom",
    "/dev/random",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
];
#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;
const X32: i64 = 0x4000_0000;
/// Sockets by themselves and by `io_uring`; other processes; the kernel's own state; what is said of a file beside its
/// content, over which Landlock has no say; another session than ingest's own.
const DENIED: [i64; 41] = [
    libc::SYS_socket,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_setsid,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_pivot_root,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_truncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_name_to_handle_at,
];
/// The same by calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[i64] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(target_arch = "aarch64")]
const DENIED_HERE: &[i64] = &[];
/// What a process may say of itself only, and which argument names another: limits, priorities, processors.
const OF_OTHERS: [(i64, u8); 7] = [
    (libc::SYS_prlimit64, 0),
    (libc::SYS_setpriority, 1),
    (libc::SYS_ioprio_set, 1),
    (libc::SYS_sched_setaffinity, 0),
    (libc::SYS_sched_setscheduler, 0),
    (libc::SYS_sched_setparam, 0),
    (libc::SYS_sched_setattr, 0),
];
/// Under one number everywhere; newer than some C libraries.
const FCHMODAT2: i64 = 452;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_missing_is_told() {
        assert_eq!(Strength::Whole.lack(), None);
        for weaker in [Strength::Files, Strength::Network] {
            assert!(weaker.lack().unwrap().starts_with("this kernel"));
        }
    }
}
